-- The records of Slipway. One writer: the manager. Names obey the grammar of model/src/name.rs before they arrive here.

CREATE TABLE users (
    name          text PRIMARY KEY,
    password_hash text,
    super         boolean NOT NULL DEFAULT false,
    created_at    timestamptz NOT NULL
);

-- One key names one user, over the whole platform.
CREATE TABLE ssh_keys (
    fingerprint text PRIMARY KEY,
    user_name   text NOT NULL REFERENCES users ON DELETE CASCADE,
    public_key  text NOT NULL,
    comment     text NOT NULL,
    added_at    timestamptz NOT NULL
);

-- Sign-ins of browsers and tokens of clients; only the hash of the secret is kept.
CREATE TABLE tokens (
    hash       bytea PRIMARY KEY,
    user_name  text NOT NULL REFERENCES users ON DELETE CASCADE,
    kind       text NOT NULL CHECK (kind IN ('session', 'api')),
    label      text NOT NULL,
    created_at timestamptz NOT NULL,
    expires_at timestamptz NOT NULL
);

CREATE TABLE tenants (
    name           text PRIMARY KEY,
    create_on_push boolean NOT NULL DEFAULT true,
    created_at     timestamptz NOT NULL
);

CREATE TABLE teams (
    tenant     text NOT NULL REFERENCES tenants,
    name       text NOT NULL,
    created_at timestamptz NOT NULL,
    PRIMARY KEY (tenant, name)
);

CREATE TABLE members (
    tenant    text NOT NULL,
    team      text NOT NULL,
    user_name text NOT NULL REFERENCES users ON DELETE CASCADE,
    role      text NOT NULL CHECK (role IN ('viewer', 'deployer', 'operator', 'owner')),
    PRIMARY KEY (tenant, team, user_name),
    FOREIGN KEY (tenant, team) REFERENCES teams
);

CREATE TABLE apps (
    tenant     text NOT NULL REFERENCES tenants,
    name       text NOT NULL,
    team       text NOT NULL,
    created_at timestamptz NOT NULL,
    PRIMARY KEY (tenant, name),
    FOREIGN KEY (tenant, team) REFERENCES teams
);

-- What is wanted of an app in an environment. `current` is the release that should serve.
CREATE TABLE envs (
    tenant        text NOT NULL,
    app           text NOT NULL,
    env           text NOT NULL,
    deploy_branch text,
    current       integer,
    epoch         integer NOT NULL DEFAULT 0,
    generation    bigint NOT NULL DEFAULT 0,
    counts        jsonb NOT NULL DEFAULT '{}',
    config        text,
    config_keys   jsonb NOT NULL DEFAULT '[]',
    next_release  integer NOT NULL DEFAULT 1,
    created_at    timestamptz NOT NULL,
    PRIMARY KEY (tenant, app, env),
    FOREIGN KEY (tenant, app) REFERENCES apps ON DELETE CASCADE
);

-- Every host name is taken once. Platform names are taken when an environment is made.
CREATE TABLE hostnames (
    hostname text PRIMARY KEY,
    tenant   text NOT NULL,
    app      text NOT NULL,
    env      text NOT NULL,
    platform boolean NOT NULL,
    added_at timestamptz NOT NULL,
    FOREIGN KEY (tenant, app, env) REFERENCES envs ON DELETE CASCADE
);

CREATE TABLE builds (
    id       text PRIMARY KEY,
    tenant   text NOT NULL,
    app      text NOT NULL,
    env      text NOT NULL,
    state    text NOT NULL,
    document jsonb NOT NULL,
    at       timestamptz NOT NULL,
    FOREIGN KEY (tenant, app, env) REFERENCES envs ON DELETE CASCADE
);
CREATE INDEX builds_of_env ON builds (tenant, app, env, at DESC);
CREATE INDEX builds_open ON builds (state) WHERE state IN ('queued', 'running');

-- Slugs by what went into them: the same source, template, stack and settings are built once per app.
CREATE TABLE slugs (
    tenant     text NOT NULL,
    app        text NOT NULL,
    source_key text NOT NULL,
    document   jsonb NOT NULL,
    at         timestamptz NOT NULL,
    PRIMARY KEY (tenant, app, source_key),
    FOREIGN KEY (tenant, app) REFERENCES apps ON DELETE CASCADE
);

-- Immutable but for state and reason.
CREATE TABLE releases (
    tenant    text NOT NULL,
    app       text NOT NULL,
    env       text NOT NULL,
    number    integer NOT NULL,
    state     text NOT NULL,
    reason    text,
    document  jsonb NOT NULL,
    spec      jsonb NOT NULL,
    at        timestamptz NOT NULL,
    PRIMARY KEY (tenant, app, env, number),
    FOREIGN KEY (tenant, app, env) REFERENCES envs ON DELETE CASCADE
);

-- The lock of an app and environment: owner, reason, and a lease that its holder renews.
CREATE TABLE locks (
    tenant  text NOT NULL,
    app     text NOT NULL,
    env     text NOT NULL,
    holder  text NOT NULL,
    owner   text NOT NULL,
    reason  text NOT NULL,
    since   timestamptz NOT NULL,
    expires timestamptz NOT NULL,
    PRIMARY KEY (tenant, app, env),
    FOREIGN KEY (tenant, app, env) REFERENCES envs ON DELETE CASCADE
);

-- Every change. Append-only: no statement of the platform updates or deletes here.
CREATE TABLE events (
    seq      bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    id       text NOT NULL UNIQUE,
    at       timestamptz NOT NULL,
    actor    jsonb NOT NULL,
    origin   text NOT NULL,
    verb     text NOT NULL,
    tenant   text,
    object   text NOT NULL,
    outcome  text NOT NULL,
    detail   jsonb NOT NULL
);
CREATE INDEX events_of_tenant ON events (tenant, seq DESC);
CREATE INDEX events_of_object ON events (object, seq DESC);

-- The persistent nodes of embedded coordination.
CREATE TABLE live_nodes (
    path    text PRIMARY KEY,
    data    bytea NOT NULL,
    version bigint NOT NULL
);
