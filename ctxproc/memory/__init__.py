"""What is remembered, and how the relevant part of it is found. Knows documents and chunks; no model that generates."""
