"""Text becomes chunks that fit the model's window, and chunks become rows."""
