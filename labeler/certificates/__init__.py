"""What is stored of certificates, verified from the database alone, and what they release."""
