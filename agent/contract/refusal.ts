// Every reason for which a bundle, a query or an enrollment is refused, with a sentence for the operator.
//
// Codes are stable: scripts, gates and dashboards match on them. A retired code keeps its line.

export const refusals = {
  // bundle: before its content is believed
  'bundle.too-large': 'The bundle is larger than this device accepts.',
  'bundle.malformed': 'The desired state is not a well-formed signed envelope.',
  'bundle.signature': 'No trusted key has signed this.',
  'bundle.not-for-us': 'It is signed for another device or tenant.',
  'bundle.serial-older': 'Its serial is lower than one this device has already accepted.',
  'bundle.serial-reused': 'Its serial was already used for other content.',
  'bundle.returned-before': 'This serial was tried and returned; a new serial is needed to try again.',
  'bundle.digest': 'What arrived does not have the signed digest or length.',
  'bundle.unavailable': 'The controller did not deliver the bundle in time.',
  'bundle.storage': 'The device could not store the bundle.',
  // bundle: content
  'policy.invalid': 'The policy documents have faults.',
  'policy.over-limit': 'The policy is larger than the tables of this device.',
  'policy.unsupported': 'This device cannot enforce the policy as written.',
  // bundle: kernel
  'kernel.load': 'The kernel refused the tables.',
  'kernel.readback': 'What was read back from the kernel is not what was written.',
  'kernel.unproven': 'A probe in the kernel did not get the expected verdict.',
  // permits
  'permit.malformed': 'It is not a well-formed permit.',
  'permit.purpose': 'The permit is for something else.',
  'permit.boot': 'The permit is for another boot of this device.',
  'permit.expired': 'The permit has expired.',
  'permit.used': 'The permit was used before.',
  // query
  'query.malformed': 'The question is not well-formed.',
  'query.unknown-view': 'There is no view of that name.',
  'query.arguments': 'The arguments do not fit the view.',
  'query.busy': 'The device is answering as many questions as it may.',
  'query.deadline': 'The answer was not ready in time.',
  // enrollment
  'enroll.malformed': 'The enrollment message is not well-formed.',
  'enroll.token-unknown': 'The token does not exist, is used up or has expired.',
  'enroll.proof': 'The proof of the token is wrong.',
  'enroll.csr': 'The certificate request is not acceptable.',
  'enroll.conflict': 'Another device has enrolled with this hardware id.',
} as const;

export type RefusalCode = keyof typeof refusals;

/** Something we did not accept, with what exactly was wrong. */
export interface Refusal {
  readonly code: RefusalCode;
  /** What exactly, as in `serial 4, accepted 7 before`. */
  readonly detail: string;
}

/** A refusal on its way to the flow file that decides. */
export class RefusalError extends Error implements Refusal {
  override readonly name = 'RefusalError';
  readonly code: RefusalCode;
  readonly detail: string;
  constructor(code: RefusalCode, detail: string, options?: ErrorOptions) {
    super(`${code}: ${detail}`, options);
    this.code = code;
    this.detail = detail;
  }
}
