// Policy from templates: seven that cover what exploits of devices do, each with a few parameters.

import { formatFaults } from '../../agent/policy/faults.ts';
import { readAndCheck } from '../../agent/policy/read.ts';
import gathered from './templates.gen.json' with { type: 'json' };

export interface Parameter {
  readonly about: string;
  /** Several values, with commas between. */
  readonly list: boolean;
  /** Its values are numbers, or ranges of them. */
  readonly numbers: boolean;
  readonly choices?: readonly string[];
  /** Absent: it has to be given. `<name>`: as that parameter. */
  readonly default?: string | readonly (string | number)[];
  readonly example?: string;
}

export interface Template {
  readonly name: string;
  readonly summary: string;
  readonly parameters: Readonly<Record<string, Parameter>>;
  /** With `<parameter>` where values go. */
  readonly text: string;
}

/** What was given does not fit the template; every fault, a line each. */
export class TemplateError extends Error {
  override readonly name = 'TemplateError';
  /** The parameters themselves are wrong, and not what comes of their values. */
  readonly isUsage: boolean;

  constructor(message: string, isUsage: boolean) {
    super(message);
    this.isUsage = isUsage;
  }
}

export const templates: readonly Template[] = gathered.templates;

type Value = string | readonly (string | number)[];

/**
 * The policy's text. `given`: values by parameter, as typed; lists have commas between their values. Throws TemplateError
 * where one is missing, not known or not what it has to be, and where what comes of them is no faultless policy.
 */
export function fillTemplate(template: Template, given: ReadonlyMap<string, string>): string {
  const { parameters } = template;
  const faults: string[] = [...given.keys()]
    .filter((name) => !Object.hasOwn(parameters, name))
    .map((name) => `${name}: is no parameter; there are ${Object.keys(parameters).join(', ')}`);
  const values = new Map<string, Value>();
  for (const [name, parameter] of Object.entries(parameters)) {
    const text = given.get(name);
    const wrong = text === undefined ? null : valueFault(parameter, text);
    const value = text === undefined ? parameter.default : readValue(parameter, text);
    if (wrong !== null) faults.push(`${name}: ${wrong}`);
    else if (value !== undefined) values.set(name, value);
    else faults.push(`${name}: has to be given: ${parameter.about}, as in ${name}=${parameter.example}`);
  }
  if (faults.length > 0) throw new TemplateError(faults.join('\n'), true);
  const text = replaceIn(template.text, values);
  const { faults: found } = readAndCheck([{ file: template.name, text }]);
  if (found.length > 0) throw new TemplateError(formatFaults(found).trimEnd(), false);
  return text;
}

/** What is wrong with a value as typed; null: nothing. */
function valueFault({ list, choices }: Parameter, text: string): string | null {
  if (/\p{Cc}/u.test(text)) return 'has a control character in it';
  if (choices !== undefined)
    return choices.includes(text) ? null : `"${text}" is none of ${choices.join(', ')}`;
  if (!list) return isName(text) ? null : `"${text}" ${nameRule}`;
  return partsOf(text).includes('') ? 'has an empty value between its commas' : null;
}

function readValue({ list, numbers }: Parameter, text: string): Value {
  if (!list) return text;
  return partsOf(text).map((one) => (numbers && /^\d{1,15}$/.test(one) ? Number(one) : one));
}

const partsOf = (text: string) => text.split(',').map((one) => one.trim());
const isName = (text: string) => /^[a-z0-9][a-z0-9.-]{0,49}$/.test(text);
const nameRule = 'has to be of lower case letters, digits, "-" and ".", at most 50';

/** Comments get words, all else YAML. */
function replaceIn(text: string, values: ReadonlyMap<string, Value>): string {
  const meant = (name: string): Value => {
    const value = values.get(name) ?? '';
    const [, other] = typeof value === 'string' ? (/^<([a-z]+)>$/.exec(value) ?? []) : [];
    return other === undefined ? value : meant(other);
  };
  const say = (value: Value) => (typeof value === 'string' ? value : value.join(', '));
  const write = (value: Value) =>
    typeof value === 'string' ? value : `[${value.map((one) => JSON.stringify(one)).join(', ')}]`;
  return text
    .split('\n')
    .map((line) => {
      const form = line.startsWith('#') ? say : write;
      return line.replace(/<([a-z]+)>/g, (_, name: string) => form(meant(name)));
    })
    .join('\n');
}
