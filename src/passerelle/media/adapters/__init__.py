"""Stores of files: Cloudinary, Supabase, S3, the local disk; and the tables of media and their copies."""
