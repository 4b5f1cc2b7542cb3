"""Two small worlds in which the right answer is known: `tabular` (exact) and `reviews` (text)."""
