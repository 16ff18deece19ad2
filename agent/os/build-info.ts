// What this program is and when it was made. Build time is the first floor under a device's clock.

declare const HUSK_BUILD_SECONDS: number | undefined;

/** As in package.json; a test compares. */
export const version = '0.1.0';

/** Unix milliseconds that have certainly passed: of the sources' commit, or of this version's beginning in a checkout. */
export const buildMs =
  typeof HUSK_BUILD_SECONDS === 'undefined' ? Date.UTC(2026, 10, 1) : HUSK_BUILD_SECONDS * 1000;
