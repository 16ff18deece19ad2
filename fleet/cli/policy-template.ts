// husk policy template: a policy from a template, ready to be checked, simulated and published.

import {
  fillTemplate,
  type Parameter,
  type Template,
  TemplateError,
  templates,
} from '../policy/templates.ts';
import { type CommandFile, collect, withJson } from './common.ts';
import { Failure, type Io, shown, table, UsageError } from './io.ts';

interface Options {
  readonly json?: boolean;
  readonly set?: readonly string[];
  readonly parameters?: boolean;
}

export const policyTemplate: CommandFile = (parent, io) => {
  withJson(parent, 'template [name]', 'Print a policy made from a template; without a name, list them')
    .option('--set <parameter=value>', 'a parameter; may be given again, lists with commas', collect)
    .option('--parameters', 'only say which parameters it has')
    .addHelpText(
      'after',
      `
Seven templates cover nearly all that exploits of devices do. What is printed is a HardeningPolicy, in monitor mode
where nothing else is said: publish it, see what would have been denied, then set mode=enforce. Exit 1 where a value
makes a policy that has faults, 2 where one is missing, not known or none of its choices.

Examples:
  husk policy template
  husk policy template ports-and-peers --parameters
  husk policy template service-never-execs --set service=/usr/sbin/httpd --set allowed=/usr/sbin/cgi-helper > httpd.yaml
  husk policy template ports-and-peers --set name=web --set service=/usr/sbin/httpd --set ports=80,443 --set mode=enforce`,
    )
    .action((name: string | undefined, options: Options) => {
      if (name === undefined) {
        list(io, options);
        return;
      }
      const template = templates.find((one) => one.name === name);
      if (template === undefined)
        throw new UsageError(
          `no template ${shown(name)}; there are ${templates.map((one) => one.name).join(', ')}`,
        );
      if (options.parameters === true) {
        describe(io, options, template);
        return;
      }
      const policy = fill(template, given(options.set ?? []));
      if (options.json === true) io.out(JSON.stringify({ template: name, policy }, null, 2));
      else io.out(policy.trimEnd());
    });
};

function list(io: Io, { json, set, parameters }: Options): void {
  if (set !== undefined || parameters === true)
    throw new UsageError('--set and --parameters are for a named template');
  const all = templates.map(({ name, summary, parameters }) => ({ name, summary, parameters }));
  if (json === true) {
    io.out(JSON.stringify(all, null, 2));
    return;
  }
  table(
    io,
    ['TEMPLATE', 'WHAT HOLDS THEN'],
    all.map(({ name, summary }) => [name, summary]),
  );
}

function describe(io: Io, { json }: Options, { name, summary, parameters }: Template): void {
  if (json === true) {
    io.out(JSON.stringify({ name, summary, parameters }, null, 2));
    return;
  }
  io.out(summary);
  table(
    io,
    ['PARAMETER', 'DEFAULT', 'WHAT IT IS'],
    Object.entries(parameters).map(([name, one]) => [name, defaultText(one), aboutText(one)]),
  );
}

const defaultText = ({ default: value }: Parameter) =>
  value === undefined ? '(needed)' : typeof value === 'string' ? value : value.join(',');

const aboutText = ({ about, choices, example }: Parameter) =>
  [about, choices && `one of ${choices.join(', ')}`, example && `as in ${example}`]
    .filter(Boolean)
    .join('; ');

function given(words: readonly string[]): ReadonlyMap<string, string> {
  const values = new Map<string, string>();
  for (const word of words) {
    const [, name, value] = /^([^=]+)=(.*)$/s.exec(word) ?? [];
    if (name === undefined || value === undefined)
      throw new UsageError(`--set ${shown(word)}: write it as parameter=value`);
    if (values.has(name))
      throw new UsageError(`--set ${shown(name)}: is given twice; values of a list go into one, with commas`);
    values.set(name, value);
  }
  return values;
}

function fill(template: Template, values: ReadonlyMap<string, string>): string {
  try {
    return fillTemplate(template, values);
  } catch (error) {
    if (!(error instanceof TemplateError)) throw error;
    const text = error.message.split('\n').map(shown).join('\n');
    throw error.isUsage ? new UsageError(text) : new Failure(text);
  }
}
