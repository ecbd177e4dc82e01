-- The login of Licet, which is no superuser, and its database. Run once, by psql, as an administrator;
-- the PostgreSQL of compose.yaml does so when it makes its data folder.
\set ON_ERROR_STOP on
\if :{?password_file}
\else
  \set password_file /run/secrets/licet_password
\endif
\set password `cat :'password_file'`

CREATE ROLE licet LOGIN NOSUPERUSER NOCREATEDB NOCREATEROLE PASSWORD :'password';
-- Whom row-level security binds (docs/postgres.md).
CREATE ROLE licet_rows NOLOGIN;
GRANT licet_rows TO licet;

-- Nets, far above what Licet needs (docs/deployment.md).
ALTER ROLE licet SET statement_timeout = '60s';
ALTER ROLE licet SET idle_in_transaction_session_timeout = '10s';

CREATE DATABASE licet OWNER licet;
REVOKE ALL ON DATABASE licet FROM PUBLIC;
