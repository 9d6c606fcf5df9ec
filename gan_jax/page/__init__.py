"""The page that shows runs: what it says, how it is drawn, and its HTML."""
