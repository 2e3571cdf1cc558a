"""How Pangaea is brought onto machines."""
