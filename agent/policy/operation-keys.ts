// The keys that stand for objects in the tables of one device: where its paths are, under its own random key.

import { HuskObjectKind } from '../../bpf/abi/layout.gen.ts';
import { RefusalError } from '../contract/refusal.ts';
import type { NamedObject } from './operation-reach.ts';
import { appletNumber, type Place, placeNumber } from './path-number.ts';
import type { DevicePaths } from './table-image.ts';

export interface ObjectKey {
  readonly kind: HuskObjectKind;
  readonly value: bigint;
}

export class ObjectKeys {
  readonly #paths: DevicePaths;
  readonly #known = new Map<string, readonly ObjectKey[]>();
  #programs: ReadonlyMap<bigint, ReadonlySet<string>> | null = null;

  constructor(paths: DevicePaths) {
    this.#paths = paths;
  }

  /** One key, or several of which each stands for a part of the objects. Throws RefusalError policy.unsupported. */
  of(object: NamedObject, rule: string): readonly ObjectKey[] {
    switch (object.kind) {
      case 'any':
        return [{ kind: HuskObjectKind.ANY, value: 0n }];
      case 'default':
        return [{ kind: HuskObjectKind.DEFAULT, value: 0n }];
      case 'trait':
        return [{ kind: HuskObjectKind.TRAIT, value: BigInt(object.trait) }];
      case 'number':
        return [{ kind: HuskObjectKind.NUMBER, value: BigInt(object.number) }];
      case 'applet':
        return [{ kind: HuskObjectKind.APPLET, value: appletNumber(object.name, this.#paths.pathKey) }];
      default: {
        const key = `${object.kind} ${object.path}`;
        const known = this.#known.get(key) ?? this.#ofPath(object.kind, object.path, rule);
        this.#known.set(key, known);
        return known;
      }
    }
  }

  /** The number of an executable, as programs note it. */
  program(path: string, rule: string): bigint {
    return this.#number(this.#place(path, rule));
  }

  /**
   * The name by which the path starts a program of many, as `/usr/bin/wget` that leads to busybox; null where the
   * path is a program of its own. What is said of it is said of that name, and not of all that the program can be.
   */
  appletOf(path: string, rule: string): string | null {
    this.#programs ??= new Map(
      this.#paths
        .applets()
        .map(({ executable, names }) => [this.program(executable, executable), new Set(names)]),
    );
    const name = path.slice(path.lastIndexOf('/') + 1);
    return this.#programs.get(this.program(path, rule))?.has(name) === true ? name : null;
  }

  #ofPath(kind: 'path' | 'under' | 'above', path: string, rule: string): readonly ObjectKey[] {
    const place = this.#place(path, rule);
    if (kind === 'path') return [{ kind: HuskObjectKind.PATH, value: this.#number(place) }];
    if (kind === 'under') {
      return [place, ...this.#paths.placesMountedBelow(path)].map((one) => ({
        kind: HuskObjectKind.UNDER,
        value: this.#number(one),
      }));
    }
    return foldersAbove(place).map((one) => ({ kind: HuskObjectKind.PATH, value: this.#number(one) }));
  }

  #place(path: string, rule: string): Place {
    const place = this.#paths.placeOf(path);
    if (place !== null) return place;
    throw new RefusalError(
      'policy.unsupported',
      `${rule} names ${path}, which no file system of this device shows`,
    );
  }

  #number(place: Place): bigint {
    return placeNumber(place, this.#paths.pathKey);
  }
}

/** Within its file system, whose root can't be renamed. */
function foldersAbove({ device, path }: Place): readonly Place[] {
  const names = path.split('/').filter((name) => name !== '');
  return names.slice(0, -1).map((_, at) => ({ device, path: `/${names.slice(0, at + 1).join('/')}` }));
}
