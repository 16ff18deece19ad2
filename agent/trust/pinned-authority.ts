// Fetches the authority's certificate that a join line pins by digest.
//
// The first connection believes nothing and says nothing: it only takes the chain the server shows, and is
// closed. From the chain one certificate is kept, the one with the pinned SHA-256. What follows is ordinary
// TLS against that certificate as the only authority, with name and dates checked, so a stranger in the
// middle gains nothing by answering the first connection.

import { createHash, X509Certificate } from 'node:crypto';
import { connect, type DetailedPeerCertificate } from 'node:tls';
import type { Endpoint } from './join.ts';

/** Certificates of a chain; a longer one is somebody playing. */
const chainMax = 8;
const waitMsMax = 15_000;

/** PEM of the pinned certificate. Throws when the server cannot be reached or does not show it. */
export async function fetchPinnedAuthority(
  endpoint: Endpoint,
  sha256: string,
  signal: AbortSignal,
): Promise<string> {
  const chain = await showChain(endpoint, AbortSignal.any([signal, AbortSignal.timeout(waitMsMax)]));
  for (const der of chain) {
    if (createHash('sha256').update(der).digest('hex') === sha256) return new X509Certificate(der).toString();
  }
  const seen = chain.map((der) => createHash('sha256').update(der).digest('hex').slice(0, 16));
  throw new Error(
    `${endpoint.host}:${endpoint.port} does not show the authority ${sha256.slice(0, 16)}… of the join line (it shows ${seen.join(', ') || 'nothing'}): either this is another server, or the join line is of another fleet`,
  );
}

function showChain(endpoint: Endpoint, signal: AbortSignal): Promise<readonly Uint8Array[]> {
  const { host, port } = endpoint;
  return new Promise((resolve, reject) => {
    const socket = connect({
      host,
      port,
      minVersion: 'TLSv1.2',
      // Nothing is sent and nothing believed over this connection; see above.
      rejectUnauthorized: false,
      ...(/^[0-9.]+$|:/.test(host) ? {} : { servername: host }),
    });
    const onAbort = () => {
      socket.destroy();
      reject(signal.reason);
    };
    signal.addEventListener('abort', onAbort, { once: true });
    const settled = () => {
      signal.removeEventListener('abort', onAbort);
      socket.destroy();
    };
    socket.once('secureConnect', () => {
      const chain = certificatesOf(socket.getPeerCertificate(true));
      settled();
      resolve(chain);
    });
    socket.once('error', (error) => {
      settled();
      reject(new Error(`${host}:${port}: ${error.message}`, { cause: error }));
    });
    socket.once('close', () => {
      settled();
      reject(new Error(`${host}:${port}: closed before TLS was up`));
    });
  });
}

function certificatesOf(leaf: DetailedPeerCertificate): readonly Uint8Array[] {
  const chain: Uint8Array[] = [];
  let one: DetailedPeerCertificate | undefined = leaf;
  while (one?.raw !== undefined && chain.length < chainMax) {
    chain.push(new Uint8Array(one.raw));
    // A self-signed certificate is its own issuer.
    one = one.issuerCertificate === one ? undefined : one.issuerCertificate;
  }
  return chain;
}
