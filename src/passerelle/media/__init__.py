"""Files worth keeping, kept somewhere durable, and a link to each that outlives the place it lies in.

Words owned here: *media* (a kept file), *store* (where files lie: cloudinary, supabase, s3, local), *chain* (the stores
in the order they are tried), *spool* (the local copy that is there while the stores are tried), *copy* (a media in one
store), *category* (why it is kept), *key* (the name of a copy in its store), *promote* (move to the first store).
"""
