// Sockets that are to be refused: run in the namespace of a client, with the attempts as JSON in its argument;
// tells how each ended, one after another.

import { type Attempt, attempt, type Outcome } from '../lab/attempt.ts';

const attempts: readonly Attempt[] = JSON.parse(process.argv[2] ?? '[]');
const outcomes: Outcome[] = [];
for (const one of attempts) outcomes.push(await attempt(one));
console.log(JSON.stringify(outcomes));
process.exit(0);
