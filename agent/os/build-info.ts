// What this program is and when it was made. Build time is the first floor under a device's clock.

declare const HUSK_BUILD_SECONDS: number | undefined;

/** As in package.json; a test compares. */
export const version = '0.1.0';

/** Unix milliseconds of the sources' commit; 0 in a checkout, which has no floor to give. */
export const buildMs = typeof HUSK_BUILD_SECONDS === 'undefined' ? 0 : HUSK_BUILD_SECONDS * 1000;
