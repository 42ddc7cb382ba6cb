"""DCC Boxed: duties by service requests, and the certificates that it knows."""
