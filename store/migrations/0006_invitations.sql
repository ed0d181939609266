-- Memberships that their users have not accepted yet.
CREATE TABLE invitations (
    tenant     text NOT NULL,
    team       text NOT NULL,
    user_name  text NOT NULL REFERENCES users ON DELETE CASCADE,
    role       text NOT NULL CHECK (role IN ('viewer', 'deployer', 'operator', 'owner')),
    invited_by text NOT NULL,
    at         timestamptz NOT NULL,
    PRIMARY KEY (tenant, team, user_name),
    FOREIGN KEY (tenant, team) REFERENCES teams ON DELETE CASCADE
);
CREATE INDEX invitations_of_user ON invitations (user_name);
