"""Colours that colour-blind readers can tell apart (Okabe and Ito, 2008), and sizes."""

MISS = "#D55E00"
FRAME = "#BBBBBB"
SERIES = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9")
MARKS = ("o", "s", "^", "D", "v", "P")
FONT = 10
