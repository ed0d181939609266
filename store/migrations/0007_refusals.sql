-- What was refused, counted per hour, tenant, actor and verb, apart from the events of what was done. `tenant` is empty for none.
CREATE TABLE refusals (
    hour    timestamptz NOT NULL,
    tenant  text NOT NULL,
    actor   text NOT NULL,
    verb    text NOT NULL,
    count   bigint NOT NULL,
    object  text NOT NULL,
    origin  text NOT NULL,
    last_at timestamptz NOT NULL,
    PRIMARY KEY (hour, tenant, actor, verb)
);
CREATE INDEX refusals_of_tenant ON refusals (tenant, hour DESC);
