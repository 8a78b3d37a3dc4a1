"""READ: pictures and tables, what they are labelled with, and how they are split."""
