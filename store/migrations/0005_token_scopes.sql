-- What a token may do of what its owner may: 'full', 'deploy' or 'read'.
ALTER TABLE tokens ADD COLUMN scope text NOT NULL DEFAULT 'full';
