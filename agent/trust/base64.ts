// Base64 with one spelling per value (RFC 4648 §4, padded; §5 without padding for URLs).
//
// Node's decoder skips what it does not know; two texts that decode alike would let an envelope be altered
// without anybody noticing. Encoding what was decoded has to give the text back.

/** null for anything but the one spelling of some bytes. */
export function decodeBase64(text: string): Uint8Array | null {
  const bytes = Buffer.from(text, 'base64');
  return bytes.toString('base64') === text ? new Uint8Array(bytes) : null;
}

export function decodeBase64Url(text: string): Uint8Array | null {
  const bytes = Buffer.from(text, 'base64url');
  return bytes.toString('base64url') === text ? new Uint8Array(bytes) : null;
}
