// Inside a guest: the agent itself, `husk-agent`.

import '../../../agent/main.ts';
