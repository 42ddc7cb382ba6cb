"""DCC Boxed: duties by service requests, and certificates from its repository."""
