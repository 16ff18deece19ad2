// The schema, as the steps it grew by. A step that was released is never changed; a new one is appended.
//
// Times are unix milliseconds. JSON is kept as text where nothing inside is searched for.

export const migrations: readonly string[] = [
  `
  CREATE TABLE tokens (
    id TEXT PRIMARY KEY,
    secret BLOB NOT NULL,          -- keys the proofs of an enrollment, so it is kept and not only hashed
    uses INTEGER NOT NULL,
    uses_left INTEGER NOT NULL CHECK (uses_left >= 0),
    created_at INTEGER NOT NULL,
    expires_at INTEGER NOT NULL,
    revoked_at INTEGER
  ) STRICT;

  CREATE TABLE devices (
    id TEXT PRIMARY KEY,           -- made from the device's key: the same id is the same key
    hardware_id TEXT NOT NULL,
    hostname TEXT NOT NULL,
    state TEXT NOT NULL CHECK (state IN ('enrolled', 'forgotten')),
    token TEXT NOT NULL,           -- the one it last enrolled with
    enrolled_at INTEGER NOT NULL,
    certificate_serial TEXT NOT NULL,
    certificate_expires INTEGER NOT NULL,
    presence TEXT NOT NULL DEFAULT 'never' CHECK (presence IN ('never', 'up', 'bye', 'gone')),
    presence_at INTEGER,
    sid INTEGER NOT NULL DEFAULT 0,
    boot TEXT NOT NULL DEFAULT '',
    birth TEXT,
    reported TEXT,
    reported_at INTEGER,
    reported_sid INTEGER NOT NULL DEFAULT 0,
    reported_seq INTEGER NOT NULL DEFAULT 0
  ) STRICT;
  -- One box is one device: a second key with the same hardware id is a conflict for a person.
  CREATE UNIQUE INDEX devices_hardware ON devices (hardware_id) WHERE state = 'enrolled';

  CREATE TABLE blobs (
    digest TEXT PRIMARY KEY,
    bytes BLOB NOT NULL
  ) STRICT;

  CREATE TABLE bundles (
    serial INTEGER PRIMARY KEY AUTOINCREMENT,   -- never given twice, also after a row was deleted
    digest TEXT NOT NULL REFERENCES blobs (digest),
    length INTEGER NOT NULL,
    title TEXT NOT NULL,
    trial_seconds INTEGER NOT NULL,
    created_at INTEGER NOT NULL
  ) STRICT;

  CREATE TABLE assignments (
    device TEXT NOT NULL REFERENCES devices (id),
    serial INTEGER NOT NULL REFERENCES bundles (serial),
    digest TEXT NOT NULL,
    envelope BLOB NOT NULL,        -- the very bytes published
    issued_at INTEGER NOT NULL,
    result TEXT,                   -- as the device reported it; null before its first word
    reason TEXT,
    refusal TEXT,
    result_at INTEGER,
    PRIMARY KEY (device, serial)
  ) STRICT;
  CREATE INDEX assignments_serial ON assignments (serial);

  CREATE TABLE events (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    device TEXT NOT NULL,
    stream TEXT NOT NULL,
    seq INTEGER NOT NULL,
    boot TEXT NOT NULL,
    mono INTEGER NOT NULL,
    ts INTEGER,
    tq TEXT NOT NULL,
    received_at INTEGER NOT NULL,
    kind TEXT NOT NULL,
    event TEXT NOT NULL,
    UNIQUE (device, stream, seq)
  ) STRICT;
  CREATE INDEX events_device ON events (device, id);

  CREATE TABLE streams (
    device TEXT NOT NULL,
    stream TEXT NOT NULL,
    up_to INTEGER NOT NULL,        -- everything up to here is stored or known to be lost
    held_first INTEGER,            -- where a batch began that left numbers out
    held_at INTEGER,
    stored INTEGER NOT NULL DEFAULT 0,
    duplicates INTEGER NOT NULL DEFAULT 0,
    conflicting INTEGER NOT NULL DEFAULT 0,
    PRIMARY KEY (device, stream)
  ) STRICT;

  CREATE TABLE gaps (
    device TEXT NOT NULL,
    stream TEXT NOT NULL,
    seq INTEGER NOT NULL,
    lost INTEGER NOT NULL,
    place TEXT NOT NULL,           -- where they were lost, as the device said; 'unexplained' if it did not
    received_at INTEGER NOT NULL,
    PRIMARY KEY (device, stream, seq, place)
  ) STRICT;

  CREATE TABLE audit (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    at INTEGER NOT NULL,
    who TEXT NOT NULL,
    what TEXT NOT NULL,
    object TEXT NOT NULL,
    detail TEXT NOT NULL
  ) STRICT;
  `,
  `
  -- What a device judges in shadow, or last did.
  CREATE TABLE shadows (
    device TEXT PRIMARY KEY REFERENCES devices (id),
    serial INTEGER NOT NULL REFERENCES bundles (serial),
    digest TEXT NOT NULL,
    envelope BLOB NOT NULL,        -- the very bytes published
    stopped INTEGER NOT NULL CHECK (stopped IN (0, 1)),
    issued_at INTEGER NOT NULL
  ) STRICT;
  `,
];
