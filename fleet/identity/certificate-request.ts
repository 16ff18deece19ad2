// A certificate request from a device: only its public key is taken, and only if its holder signed it.
//
// forge reads the structure, node:crypto checks key and signature. What forge would write differently from
// what it read (long lengths, other tags) is refused, since then the bytes checked are not those that came.

import { createPublicKey, type KeyObject, verify } from 'node:crypto';
import forge from 'node-forge';
import { RefusalError } from '../../agent/contract/refusal.ts';
import { messageOf } from '../../agent/contract/thrown.ts';

const { asn1 } = forge;
type Asn1 = forge.asn1.Asn1;
/** With the options that forge takes and its types leave out. */
const readDer = asn1.fromDer as unknown as (
  bytes: forge.util.ByteStringBuffer,
  options: { strict: boolean; parseAllBytes: boolean; decodeBitStrings: boolean },
) => Asn1;

const keyBitsMin = 2048;
/** A longer key costs every handshake of the broker and gives nothing here. */
const keyBitsMax = 4096;
const publicExponent = 65_537n;

const digests: Readonly<Record<string, string>> = {
  '1.2.840.113549.1.1.11': 'sha256',
  '1.2.840.113549.1.1.12': 'sha384',
  '1.2.840.113549.1.1.13': 'sha512',
};

/** DER of a PKCS #10 in PEM, not looked into yet; throws a refusal when it is not one PEM block. */
export function requestDer(pem: string): Uint8Array {
  const match =
    /^\s*-----BEGIN (?:NEW )?CERTIFICATE REQUEST-----([A-Za-z0-9+/=\s]+)-----END (?:NEW )?CERTIFICATE REQUEST-----\s*$/.exec(
      pem,
    );
  if (match?.[1] === undefined) throw refused('not one PEM block of a certificate request');
  return new Uint8Array(Buffer.from(match[1], 'base64'));
}

/** The public key of the request, which its holder has proven to hold. */
export function publicKeyOfRequest(der: Uint8Array): KeyObject {
  const { info, algorithm, signature, spki } = readRequest(der);
  const digest = digests[algorithm];
  if (digest === undefined) throw refused(`signed with ${algorithm}; RSA with SHA-256, 384 or 512 is wanted`);
  const key = importKey(spki);
  let proven = false;
  try {
    proven = verify(digest, info, key, signature);
  } catch (cause) {
    throw refused('its signature cannot be checked', cause);
  }
  if (!proven) throw refused('its signature is not by its own key');
  return key;
}

function readRequest(der: Uint8Array): {
  readonly info: Uint8Array;
  readonly algorithm: string;
  readonly signature: Uint8Array;
  readonly spki: Uint8Array;
} {
  try {
    const whole = readDer(binary(der), { strict: true, parseAllBytes: true, decodeBitStrings: false });
    if (!Buffer.from(asn1.toDer(whole).getBytes(), 'binary').equals(der)) throw new Error('not in DER');
    const [info, algorithm, signature] = sequence(whole, 3);
    const spki = children(info)[2];
    const oid = children(algorithm)[0];
    if (spki === undefined || oid === undefined || typeof oid.value !== 'string')
      throw new Error('a part is missing');
    if (oid.type !== asn1.Type.OID) throw new Error('no algorithm');
    if (signature.type !== asn1.Type.BITSTRING || typeof signature.value !== 'string')
      throw new Error('no signature');
    return {
      info: bytesOf(info),
      algorithm: asn1.derToOid(forge.util.createBuffer(oid.value)),
      // The first octet of a bit string counts unused bits: none in a signature.
      signature: new Uint8Array(Buffer.from(signature.value, 'binary').subarray(1)),
      spki: bytesOf(spki),
    };
  } catch (cause) {
    throw refused(`it cannot be read (${messageOf(cause)})`, cause);
  }
}

function importKey(spki: Uint8Array): KeyObject {
  let key: KeyObject;
  try {
    key = createPublicKey({ key: Buffer.from(spki), format: 'der', type: 'spki' });
  } catch (cause) {
    throw refused('its key cannot be read', cause);
  }
  if (key.asymmetricKeyType !== 'rsa') throw refused(`its key is ${key.asymmetricKeyType}, not rsa`);
  const { modulusLength, publicExponent: exponent } = key.asymmetricKeyDetails ?? {};
  if (modulusLength === undefined || modulusLength < keyBitsMin || modulusLength > keyBitsMax) {
    throw refused(`its key has ${modulusLength} bits, not ${keyBitsMin} to ${keyBitsMax}`);
  }
  if (exponent !== publicExponent)
    throw refused(`its key has the exponent ${exponent}, not ${publicExponent}`);
  return key;
}

function sequence(node: Asn1, length: 3): readonly [Asn1, Asn1, Asn1] {
  const [a, b, c, ...more] = children(node);
  if (a === undefined || b === undefined || c === undefined || more.length > 0) {
    throw new Error(`not a sequence of ${length}`);
  }
  return [a, b, c];
}

function children(node: Asn1): readonly Asn1[] {
  if (!Array.isArray(node.value)) throw new Error('not a sequence');
  return node.value;
}

function bytesOf(node: Asn1): Uint8Array {
  return new Uint8Array(Buffer.from(asn1.toDer(node).getBytes(), 'binary'));
}

function binary(bytes: Uint8Array): forge.util.ByteStringBuffer {
  return forge.util.createBuffer(Buffer.from(bytes).toString('binary'));
}

function refused(detail: string, cause?: unknown): RefusalError {
  return new RefusalError('enroll.csr', detail, cause === undefined ? undefined : { cause });
}
