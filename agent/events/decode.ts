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
  decodeHuskOperationEvent,
  HUSK_CALL_BIND,
  HUSK_CALL_CONNECT,
  HUSK_CALL_SOCKET,
  HUSK_EVENT_DATA_BYTES,
  HUSK_EVENT_NAMES_BYTES,
  HUSK_FAMILY_IPV4,
  HUSK_FAMILY_IPV6,
  HUSK_FAMILY_OTHER,
  HUSK_LINEAGE_MAX,
  HUSK_LINK_BARE,
  HUSK_LINK_ETHERNET,
  HuskAlike,
  HuskCallEvent,
  HuskConnectionState,
  HuskEvent,
  HuskEventKind,
  HuskHook,
  HuskMode,
  HuskOperation,
  HuskOperationEvent,
  HuskPacketEvent,
  HuskReason,
  HuskVerdict,
} from '../../bpf/abi/layout.gen.ts';

/** `[u32 ring][u32 length]` */
const frameBytes = 8;

const head = HuskEvent.offset;
const packet = HuskPacketEvent.offset;
const call = HuskCallEvent.offset;
const operation = HuskOperationEvent.offset;
const alike = HuskAlike.offset;

const modes = oneOf(HuskMode.MONITOR, HuskMode.ENFORCE);
const reasons = oneOf(...Object.values(HuskReason));
const packetVerdicts = oneOf(HuskVerdict.ALLOW, HuskVerdict.DROP, HuskVerdict.REJECT, HuskVerdict.LOG);
const packetHooks = oneOf(HuskHook.XDP_INGRESS, HuskHook.TC_INGRESS, HuskHook.TC_EGRESS);
const states = oneOf(...Object.values(HuskConnectionState));
const links = oneOf(HUSK_LINK_ETHERNET, HUSK_LINK_BARE);
const families = oneOf(HUSK_FAMILY_IPV4, HUSK_FAMILY_IPV6, HUSK_FAMILY_OTHER);
const callVerdicts = oneOf(HuskVerdict.ALLOW, HuskVerdict.DENY);
const callHooks = oneOf(HuskHook.CONNECT, HuskHook.SENDMSG, HuskHook.BIND, HuskHook.SOCKET);
/** Everything that is no hook of packets: the word of an operation says what it was. */
const operationHooks = oneOf(...Object.values(HuskHook)) & ~packetHooks;
const operations = oneOf(...Object.values(HuskOperation).filter((number) => number < HuskOperation.COUNT));
const calls = oneOf(HUSK_CALL_CONNECT, HUSK_CALL_BIND, HUSK_CALL_SOCKET);

/** Visits each packet record of a batch where it lies; returns how many records could not be decoded. */
export function walkPackets(batch: Uint8Array, visit: (view: DataView, at: number) => void): number {
  return walk(batch, [packetReader(HuskEventKind.PACKET, visit)]);
}

/** Visits each record of a traced packet; returns how many records could not be decoded. */
export function walkTraces(batch: Uint8Array, visit: (view: DataView, at: number) => void): number {
  return walk(batch, [packetReader(HuskEventKind.TRACE, visit)]);
}

const packetReader = (kind: number, visit: (view: DataView, at: number) => void): RecordReader => ({
  kind,
  size: HuskPacketEvent.size,
  take: (view, at) => {
    if (!isPacket(view, at)) return false;
    visit(view, at);
    return true;
  },
});

/**
 * Visits each record of the ring that calls and operations of tasks share; returns how many records could not be
 * decoded.
 */
export function walkCalls(
  batch: Uint8Array,
  visit: (event: HuskCallEvent) => void,
  visitOperation: (event: HuskOperationEvent) => void = () => {},
): number {
  return walk(batch, [
    {
      kind: HuskEventKind.CALL,
      size: HuskCallEvent.size,
      take: (view, at) => {
        if (!isCall(view, at)) return false;
        visit(decodeHuskCallEvent(view, at));
        return true;
      },
    },
    {
      kind: HuskEventKind.OPERATION,
      size: HuskOperationEvent.size,
      take: (view, at) => {
        if (!isOperation(view, at)) return false;
        visitOperation(decodeHuskOperationEvent(view, at));
        return true;
      },
    },
  ]);
}

/** What a ring may hold of one kind. */
interface RecordReader {
  readonly kind: number;
  readonly size: number;
  readonly take: (view: DataView, at: number) => boolean;
}

function walk(batch: Uint8Array, readers: readonly RecordReader[]): number {
  const view = new DataView(batch.buffer, batch.byteOffset, batch.byteLength);
  const end = batch.byteLength;
  let undecodable = 0;
  for (let at = 0; at < end; ) {
    // How many records a torn frame hides cannot be known: it counts as one.
    if (end - at < frameBytes) return undecodable + 1;
    const length = view.getUint32(at + 4, true);
    at += frameBytes;
    if (length > end - at) return undecodable + 1;
    const reader = readers.find(({ kind, size }) => length === size && hasHead(view, at, kind, size));
    if (reader?.take(view, at) !== true) undecodable += 1;
    at += (length + 7) & ~7;
  }
  return undecodable;
}

function hasHead(view: DataView, at: number, kind: number, size: number): boolean {
  return (
    view.getUint16(at + head.size, true) === size &&
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

function isOperation(view: DataView, at: number): boolean {
  return (
    isIn(callVerdicts, view.getUint8(at + head.verdict)) &&
    isIn(operationHooks, view.getUint8(at + head.hook)) &&
    isAlike(view, at + operation.alike) &&
    view.getUint32(at + operation.programs, true) <= HUSK_LINEAGE_MAX &&
    view.getUint32(at + operation.namesLength, true) <= HUSK_EVENT_NAMES_BYTES
  );
}

/** Whether the bytes can be what makes operations alike. */
export function isAlike(view: DataView, at: number): boolean {
  return (
    isIn(operations, view.getUint16(at + alike.operation, true)) &&
    isIn(callVerdicts, view.getUint8(at + alike.verdict)) &&
    isIn(modes, view.getUint8(at + alike.mode))
  );
}

/** Small numbers as a bit mask. */
function oneOf(...values: readonly number[]): number {
  return values.reduce((mask, value) => mask | (1 << value), 0);
}

function isIn(mask: number, value: number): boolean {
  return value < 31 && (mask & (1 << value)) !== 0;
}
