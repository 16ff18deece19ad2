/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The program that a canary runs: says by one byte on its standard output that it got to its first
 * instruction. Static, without a C library, so that nothing but execve itself has a part in it. It is part of
 * the addon (witness_image.S).
 */

#define BYTE_FD 1

#if defined(__x86_64__)
#define SYS_WRITE 1
#define SYS_EXIT 60
static long system_call(long number, long a, long b, long c)
{
    long result;

    __asm__ volatile("syscall" : "=a"(result) : "0"(number), "D"(a), "S"(b), "d"(c) : "rcx", "r11", "memory");
    return result;
}
#elif defined(__aarch64__)
#define SYS_WRITE 64
#define SYS_EXIT 93
static long system_call(long number, long a, long b, long c)
{
    register long x8 __asm__("x8") = number;
    register long x0 __asm__("x0") = a;
    register long x1 __asm__("x1") = b;
    register long x2 __asm__("x2") = c;

    __asm__ volatile("svc 0" : "+r"(x0) : "r"(x8), "r"(x1), "r"(x2) : "memory");
    return x0;
}
#else
#error "no system calls are written for this processor yet"
#endif

__attribute__((noreturn)) void _start(void)
{
    static const char byte = 'r';

    system_call(SYS_WRITE, BYTE_FD, (long)&byte, 1);
    for (;;)
        system_call(SYS_EXIT, 0, 0, 0);
}
