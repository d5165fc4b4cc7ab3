"""Files wherever they lie: found, read, written, published once; and what stages hand to each other in them."""
