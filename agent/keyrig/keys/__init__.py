"""Key stores, and the certificate authorities that certify devices' keys."""
