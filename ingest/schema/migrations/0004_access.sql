-- Who may look and act. Passwords are argon2id hashes; sessions and tokens are stored as SHA-256 of what the holder has.

CREATE TABLE users (
    login         text PRIMARY KEY CHECK (login <> ''),
    password_hash text NOT NULL,
    role          text NOT NULL CHECK (role IN ('administrator', 'engineer', 'operator', 'viewer')),
    must_change   boolean NOT NULL DEFAULT false,   -- one-time password
    enabled       boolean NOT NULL DEFAULT true,
    created_at    timestamptz NOT NULL DEFAULT now()
);

CREATE TABLE sessions (
    session_hash bytea PRIMARY KEY,
    login        text NOT NULL REFERENCES users ON DELETE CASCADE,
    created_at   timestamptz NOT NULL DEFAULT now(),
    expires_at   timestamptz NOT NULL
);

CREATE TABLE api_tokens (
    token_hash bytea PRIMARY KEY,
    name       text NOT NULL UNIQUE,
    login      text NOT NULL REFERENCES users ON DELETE CASCADE,
    role       text NOT NULL CHECK (role IN ('administrator', 'engineer', 'operator', 'viewer')),
    created_at timestamptz NOT NULL DEFAULT now(),
    expires_at timestamptz,
    last_used_at timestamptz
);

CREATE TABLE audit_log (
    at     timestamptz NOT NULL DEFAULT now(),
    actor  text NOT NULL,
    action text NOT NULL,
    object text NOT NULL,
    detail jsonb NOT NULL DEFAULT '{}'
);
CREATE INDEX ON audit_log (at DESC);
