// The join string: one line that an operator carries to a device.

import { type Join, joinPrefix } from '../../agent/contract/enrollment.ts';

export function writeJoin(join: Join): string {
  return joinPrefix + Buffer.from(JSON.stringify(join)).toString('base64url');
}
