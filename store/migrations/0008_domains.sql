-- The secret by which an app proves that it owns a domain, made when the domain is first asked for.
CREATE TABLE domain_claims (
    hostname text NOT NULL,
    tenant   text NOT NULL,
    app      text NOT NULL,
    env      text NOT NULL,
    token    text NOT NULL,
    since    timestamptz NOT NULL,
    PRIMARY KEY (hostname, tenant, app, env),
    FOREIGN KEY (tenant, app, env) REFERENCES envs ON DELETE CASCADE
);

-- Domains that were given up, and by which tenant: for a while no other tenant may have them.
CREATE TABLE released_hostnames (
    hostname text PRIMARY KEY,
    tenant   text NOT NULL,
    at       timestamptz NOT NULL
);
