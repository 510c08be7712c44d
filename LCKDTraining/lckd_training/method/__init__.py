"""The method: what is drawn, decoded, distilled and elected (Eq. 1 to 7)."""
