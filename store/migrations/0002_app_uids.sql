-- Each app has a number of its own, never used again: the uid of its processes follows from it.
ALTER TABLE apps ADD COLUMN number integer GENERATED ALWAYS AS IDENTITY UNIQUE;
