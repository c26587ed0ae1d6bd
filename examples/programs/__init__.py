"""Programs that example processes start."""
