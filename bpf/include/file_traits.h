/* SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause */
/* What there is to say of a file besides where it is, for programs that judge what is run. */
#ifndef HUSK_FILE_TRAITS_H
#define HUSK_FILE_TRAITS_H

#include "decide.h"

#define TMPFS_MAGIC 0x01021994

/* A bit for each enum husk_trait. */
static __always_inline husk_u8 traits_of(struct file *file)
{
    struct inode *inode = file->f_inode;
    husk_u8 traits = 0;
    if (!inode)
        return 1 << HUSK_TRAIT_UNRESOLVED;
    if (!inode->__i_nlink)
        traits |= 1 << HUSK_TRAIT_DELETED;
    if (inode->i_mode & (S_ISUID | S_ISGID))
        traits |= 1 << HUSK_TRAIT_SETUID;
    /* A memfd never had a name: it is its own root. */
    struct dentry *dentry = file->f_path.dentry;
    if (!inode->__i_nlink && dentry->d_parent == dentry && dentry->d_sb->s_magic == TMPFS_MAGIC)
        traits |= 1 << HUSK_TRAIT_MEMFD;
    /* All that follows is looked at once, and not for each of the traits there may be. */
    return husk_unknown(traits);
}

#endif
