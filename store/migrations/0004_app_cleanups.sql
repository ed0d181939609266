-- Destroyed apps whose source, images, caches and logs are not all removed yet. Their names can not be used meanwhile.
CREATE TABLE app_cleanups (
    tenant text NOT NULL,
    app    text NOT NULL,
    envs   jsonb NOT NULL,
    since  timestamptz NOT NULL,
    PRIMARY KEY (tenant, app)
);
