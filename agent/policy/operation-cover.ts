// Whether all objects of one rule are objects of another as well, to tell which rules decide nothing.
//
// One alternative is held against one: that several together take in another is not looked for.

import { isBelow, type NamedObject, type OperationReach, unresolved } from './operation-reach.ts';

/** Of the same operation. */
export function objectsCover(outer: OperationReach, inner: OperationReach): boolean {
  const isAny = outer.objects.some(({ kind }) => kind === 'any');
  if (!isAny) return inner.objects.every((one) => outer.objects.some((other) => covers(other, one)));
  if (outer.except.length === 0) return true;
  const isInnerAny = inner.objects.some(({ kind }) => kind === 'any');
  // What is taken out of the outer has to be taken out of the inner.
  if (isInnerAny) return outer.except.every((one) => inner.except.some((other) => covers(other, one)));
  return inner.objects.every((one) => areApart(one, outer.except));
}

function covers(outer: NamedObject, inner: NamedObject): boolean {
  if (outer.kind === 'any') return true;
  if (outer.kind === 'under') {
    return (inner.kind === 'path' || inner.kind === 'under') && isBelow(inner.path, outer.path);
  }
  if (outer.kind !== inner.kind) return false;
  if (outer.kind === 'path' || outer.kind === 'above') return 'path' in inner && inner.path === outer.path;
  if (outer.kind === 'applet') return 'name' in inner && inner.name === outer.name;
  if (outer.kind === 'trait') return 'trait' in inner && inner.trait === outer.trait;
  return outer.kind === 'number' && 'number' in inner && inner.number === outer.number;
}

/** Whether nothing of the object is excepted: one that has a path can be any applet, and the other way round. */
function areApart(object: NamedObject, except: readonly NamedObject[]): boolean {
  // Nobody could tell that it is one of those.
  if (object === unresolved) return true;
  if (object.kind !== 'path' && object.kind !== 'under') return false;
  return except.every(
    (one) =>
      (one.kind === 'path' || one.kind === 'under') &&
      !covers(one, object) &&
      !(object.kind === 'under' && isBelow(one.path, object.path)),
  );
}
