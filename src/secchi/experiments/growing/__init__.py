"""What more rows would bring: learning curves over the number of rows, and their power law."""
