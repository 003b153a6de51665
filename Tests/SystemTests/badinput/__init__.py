"""Bad input against a whole running host: one module for each way in."""
