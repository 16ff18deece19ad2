// Sizes that both ends of the link hold each other to. Each is checked before the content is looked at.

/** One MQTT payload, either way. The embedded broker enforces it; a blob part with headers fits. */
export const payloadBytesMax = 256 * 1024;
/** The signed desired state. */
export const envelopeBytesMax = 16 * 1024;
/**
 * A bundle as it travels, in parts: 10,000 rules and 1,000,000 prefixes are 19 MB. A device holds it some ten times
 * over while it applies it (test/bench/filter/apply.ts); one without the memory for that is sent smaller ones.
 */
export const bundleBytesMax = 24 * 1024 * 1024;
/** One part of a bundle. All but the last are exactly this long. */
export const partBytes = 64 * 1024;
/** Parts a device asks for at a time. */
export const partsWindow = 16;
/** One part of an answer to a query. */
export const answerPartBytesMax = 32 * 1024;
/** Questions a device works on at a time; a further one is answered `query.busy`. */
export const queriesMax = 4;
/** Events of one batch on `up/ev`. */
export const batchEventsMax = 500;
/** Bytes of one batch on `up/ev`. */
export const batchBytesMax = 128 * 1024;
/** One enrollment message. */
export const enrollmentBytesMax = 16 * 1024;
/** Nesting of any JSON document from outside. */
export const jsonDepthMax = 32;
