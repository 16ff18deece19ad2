/* SPDX-License-Identifier: Apache-2.0 */
/* The built witness as bytes of the addon: what runs it needs no file of ours on the device. */
    .section .rodata
    .globl witness_image
    .hidden witness_image
    .globl witness_image_end
    .hidden witness_image_end
    .balign 8
witness_image:
    .incbin "build/native/witness"
witness_image_end:
    .section .note.GNU-stack,"",%progbits
