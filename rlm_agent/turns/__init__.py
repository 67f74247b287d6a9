"""One turn: its cells, what they ask, its end; restored and made again."""
