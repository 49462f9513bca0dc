"""Where what is known of keys and clients lies, beside their records."""
