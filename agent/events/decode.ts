// From a batch of the ring thread to records that may be believed.
//
// A batch is `[u32 ring][u32 length][record]` again and again, each record padded to 8 bytes. Its bytes come
// from the kernel, but whoever can write to a ring, or an agent that adopted another version's maps, could
// have put anything there: length, size, kind and every enumeration are checked before a record is handed
// on, and what fails is counted, never guessed at. A length that leads out of the batch ends the batch.
//
// Packets are handed on as a place in the batch: most of them only raise a count, and an object for each
// would be the largest cost of the whole flow. Calls are few and become objects at once.

import {
  decodeHuskCallEvent,
  HUSK_CALL_BIND,
  HUSK_CALL_CONNECT,
  HUSK_CALL_SOCKET,
  HUSK_EVENT_DATA_BYTES,
  HUSK_FAMILY_IPV4,
  HUSK_FAMILY_IPV6,
  HUSK_FAMILY_OTHER,
  HUSK_LINK_BARE,
  HUSK_LINK_ETHERNET,
  HuskCallEvent,
  HuskConnectionState,
  HuskEvent,
  HuskEventKind,
  HuskHook,
  HuskMode,
  HuskPacketEvent,
  HuskReason,
  HuskVerdict,
} from '../../bpf/abi/layout.gen.ts';

/** `[u32 ring][u32 length]` */
const frameBytes = 8;

const head = HuskEvent.offset;
const packet = HuskPacketEvent.offset;
const call = HuskCallEvent.offset;

const modes = oneOf(HuskMode.MONITOR, HuskMode.ENFORCE);
const reasons = oneOf(...Object.values(HuskReason));
const packetVerdicts = oneOf(HuskVerdict.ALLOW, HuskVerdict.DROP, HuskVerdict.REJECT, HuskVerdict.LOG);
const packetHooks = oneOf(HuskHook.XDP_INGRESS, HuskHook.TC_INGRESS, HuskHook.TC_EGRESS);
const states = oneOf(...Object.values(HuskConnectionState));
const links = oneOf(HUSK_LINK_ETHERNET, HUSK_LINK_BARE);
const families = oneOf(HUSK_FAMILY_IPV4, HUSK_FAMILY_IPV6, HUSK_FAMILY_OTHER);
const callVerdicts = oneOf(HuskVerdict.ALLOW, HuskVerdict.DENY);
const callHooks = oneOf(HuskHook.CONNECT, HuskHook.SENDMSG, HuskHook.BIND, HuskHook.SOCKET);
const calls = oneOf(HUSK_CALL_CONNECT, HUSK_CALL_BIND, HUSK_CALL_SOCKET);

/** Visits each packet record of a batch where it lies; returns how many records could not be decoded. */
export function walkPackets(batch: Uint8Array, visit: (view: DataView, at: number) => void): number {
  return walk(batch, HuskEventKind.PACKET, HuskPacketEvent.size, (view, at) => {
    if (!isPacket(view, at)) return false;
    visit(view, at);
    return true;
  });
}

/** Visits each record of a traced packet; returns how many records could not be decoded. */
export function walkTraces(batch: Uint8Array, visit: (view: DataView, at: number) => void): number {
  return walk(batch, HuskEventKind.TRACE, HuskPacketEvent.size, (view, at) => {
    if (!isPacket(view, at)) return false;
    visit(view, at);
    return true;
  });
}

/** Visits each call record of a batch; returns how many records could not be decoded. */
export function walkCalls(batch: Uint8Array, visit: (event: HuskCallEvent) => void): number {
  return walk(batch, HuskEventKind.CALL, HuskCallEvent.size, (view, at) => {
    if (!isCall(view, at)) return false;
    visit(decodeHuskCallEvent(view, at));
    return true;
  });
}

function walk(
  batch: Uint8Array,
  kind: number,
  size: number,
  take: (view: DataView, at: number) => boolean,
): number {
  const view = new DataView(batch.buffer, batch.byteOffset, batch.byteLength);
  const end = batch.byteLength;
  let undecodable = 0;
  for (let at = 0; at < end; ) {
    // How many records a torn frame hides cannot be known: it counts as one.
    if (end - at < frameBytes) return undecodable + 1;
    const length = view.getUint32(at + 4, true);
    at += frameBytes;
    if (length > end - at) return undecodable + 1;
    const fits = length === size && view.getUint16(at + head.size, true) === size && hasHead(view, at, kind);
    if (!fits || !take(view, at)) undecodable += 1;
    at += (length + 7) & ~7;
  }
  return undecodable;
}

function hasHead(view: DataView, at: number, kind: number): boolean {
  return (
    view.getUint16(at + head.kind, true) === kind &&
    // Serials are JSON integers: at most 2^53-1.
    view.getUint32(at + head.serial + 4, true) < 1 << 21 &&
    isIn(modes, view.getUint8(at + head.mode)) &&
    isIn(reasons, view.getUint8(at + head.reason))
  );
}

function isPacket(view: DataView, at: number): boolean {
  return (
    isIn(packetVerdicts, view.getUint8(at + head.verdict)) &&
    isIn(packetHooks, view.getUint8(at + head.hook)) &&
    isIn(families, view.getUint8(at + packet.family)) &&
    isIn(states, view.getUint8(at + packet.state)) &&
    isIn(links, view.getUint8(at + packet.link)) &&
    view.getUint32(at + packet.dataLength, true) <= HUSK_EVENT_DATA_BYTES
  );
}

function isCall(view: DataView, at: number): boolean {
  return (
    isIn(callVerdicts, view.getUint8(at + head.verdict)) &&
    isIn(callHooks, view.getUint8(at + head.hook)) &&
    isIn(calls, view.getUint8(at + call.call))
  );
}

/** Small numbers as a bit mask. */
function oneOf(...values: readonly number[]): number {
  return values.reduce((mask, value) => mask | (1 << value), 0);
}

function isIn(mask: number, value: number): boolean {
  return value < 31 && (mask & (1 << value)) !== 0;
}
