/* SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause */
/*
 * The one judgement of an operation, for every hook of tiers A and B:
 *
 *   subjects of the task, that have decisions about the operation; none -> allow
 *   decisions about the object: its path, every folder above, its traits, any object
 *   a denial that nothing lifts -> deny; an allowance -> allow; the default; allow
 *
 * Denials in monitor mode are counted and reported. What can't be resolved has the trait `unresolved`, for
 * which policy has a verdict, and of more denials than are kept one is taken to stand: nothing is passed
 * over.
 */
#ifndef HUSK_DECIDE_H
#define HUSK_DECIDE_H

#include "cgroup_subjects.h"
#include "emit.h"
#include "lineage.h"
#include "tell.h"

#define EPERM 1
#define ECANCELED 125

#define SIGKILL 9
#define PF_KTHREAD 0x00200000

/* Denials, would-be denials and exceptions that are kept for one operation. */
#define DENIALS_KEPT 4

/* What is asked for. Numbers and traits are 0 where there are none. */
struct operation {
    struct dentry *dentry; /* NULL: the object has no path */
    husk_u64 number;
    husk_u64 applet;   /* of an executable with many, where it is known already */
    const char *typed; /* EXEC: the name it is started by; NULL: `applet` says it */
    husk_u16 operation;
    husk_u8 hook;
    husk_u8 traits; /* a bit for each enum husk_trait */
    bool too_late;  /* it has happened: a denial ends the process */
};

/* Rules, each once, in the order in which they were found. */
struct kept_rules {
    husk_u32 rules[DENIALS_KEPT];
    husk_u32 count; /* more than are kept: DENIALS_KEPT + 1 */
};

/* What is asked of the decisions, and what they said so far. In memory, and asked by a function that the
 * verifier looks at once. */
struct asked {
    struct kept_rules denials;
    struct kept_rules would_denials;
    struct kept_rules lifts;
    husk_u32 would_allow;
    husk_u32 allowed;
    husk_u32 kills; /* a bit for each denial that is kept, and one for all others */
    husk_u32 slot;
    husk_u64 subjects;
    husk_u64 value;
    husk_u64 number;
    husk_u64 applet;
    struct place place;
    husk_u16 operation;
    husk_u16 kind;
    husk_u8 traits;
    husk_u8 has_path; /* `place` says where it is */
    husk_u8 pad[2];
};

struct judge {
    struct husk_task *task;
    husk_u64 subjects;
    husk_u64 serial;
    husk_u32 slot;
    bool is_canary;
    bool is_trial;
    bool is_observed; /* told of, although it is allowed */
    bool is_shadowed;
};

/* Where the rule is kept; DENIALS_KEPT: nowhere, there were too many. */
GLOBAL husk_keep_rule(struct kept_rules *kept, husk_u32 rule)
{
    if (!kept)
        return DENIALS_KEPT;
#pragma clang loop unroll(disable)
    for (husk_u32 at = 0; at < DENIALS_KEPT; at++) {
        if (at < kept->count && kept->rules[at] == rule)
            return at;
        if (at >= kept->count) {
            kept->rules[at] = rule;
            kept->count = at + 1;
            return at;
        }
    }
    kept->count = DENIALS_KEPT + 1;
    return DENIALS_KEPT;
}

static __always_inline void take_decision(struct asked *asked, const struct husk_decision *decision)
{
    if (decision->denied_by != HUSK_RULE_NONE) {
        husk_u32 at = husk_keep_rule(&asked->denials, decision->denied_by);
        asked->kills |= (husk_u32)(decision->kills & 1) << (at & 7);
    }
    if (decision->lifts != HUSK_RULE_NONE)
        husk_keep_rule(&asked->lifts, decision->lifts);
    /* A default in monitor mode denies nothing that a rule in monitor mode would allow. */
    bool is_meant = asked->kind != HUSK_OBJECT_DEFAULT || asked->would_allow == HUSK_RULE_NONE;
    if (decision->would_deny != HUSK_RULE_NONE && is_meant)
        husk_keep_rule(&asked->would_denials, decision->would_deny);
    if (asked->would_allow == HUSK_RULE_NONE)
        asked->would_allow = decision->would_allow;
    if (asked->allowed == HUSK_RULE_NONE)
        asked->allowed = decision->allowed_by;
}

/* Bits of kept denials that nothing lifts; of those that were too many, nobody knows. Without branches, of
 * which sixteen comparisons would make many paths. */
static __always_inline husk_u32 standing_bits(const struct kept_rules *denials,
                                              const struct kept_rules *lifts)
{
    husk_u64 denials_count = denials->count, lifts_count = lifts->count;
    /* Most operations are denied by nothing. */
    if (!denials_count)
        return 0;
    husk_u64 bits = top_bit(DENIALS_KEPT - denials_count) << DENIALS_KEPT;
#pragma unroll
    for (husk_u64 at = 0; at < DENIALS_KEPT; at++) {
        husk_u64 lifted = 0;
#pragma unroll
        for (husk_u64 lift = 0; lift < DENIALS_KEPT; lift++)
            lifted |= top_bit(lift - lifts_count) & (any(lifts->rules[lift] ^ denials->rules[at]) ^ 1);
        bits |= (top_bit(at - denials_count) & (lifted ^ 1)) << at;
    }
    return bits;
}

/* The first of them, or HUSK_RULE_NONE. */
static __always_inline husk_u32 first_standing(const struct kept_rules *denials, husk_u32 bits)
{
#pragma unroll
    for (husk_u32 at = 0; at < DENIALS_KEPT; at++) {
        if (bits & 1 << at)
            return denials->rules[at];
    }
    return bits ? denials->rules[DENIALS_KEPT - 1] : HUSK_RULE_NONE;
}

/* The first denial that is not lifted, or HUSK_RULE_NONE. */
__attribute__((noinline)) husk_u32 husk_standing_denial(const struct asked *asked)
{
    if (!asked)
        return HUSK_RULE_NONE;
    return first_standing(&asked->denials, standing_bits(&asked->denials, &asked->lifts));
}

/* The same of denials in monitor mode. */
__attribute__((noinline)) husk_u32 husk_standing_would_deny(const struct asked *asked)
{
    if (!asked)
        return HUSK_RULE_NONE;
    return first_standing(&asked->would_denials, standing_bits(&asked->would_denials, &asked->lifts));
}

/* Whether a denial that is not lifted also ends the process. */
__attribute__((noinline)) husk_u32 husk_standing_kills(const struct asked *asked)
{
    if (!asked)
        return 0;
    return asked->kills & standing_bits(&asked->denials, &asked->lifts);
}

/* What one subject's decision about the thing is. */
static __always_inline void ask_subject(struct asked *asked, void *decisions, husk_u32 subject)
{
    struct husk_object object = {
        .subject = subject, .operation = asked->operation, .kind = asked->kind, .value = asked->value};
    const struct husk_decision *decision = bpf_map_lookup_elem(decisions, &object);
    if (decision)
        take_decision(asked, decision);
}

struct subject_round {
    struct asked *asked;
    void *decisions;
    husk_u64 subjects; /* that are still to be asked */
};

static long ask_next_subject(husk_u32 number, void *context)
{
    struct subject_round *round = context;
    husk_u64 subjects = round->subjects;
    if (!subjects)
        return REPEAT_END;
    round->subjects = subjects & (subjects - 1);
    ask_subject(round->asked, round->decisions, lowest_bit(subjects));
    return REPEAT_ON;
}

/* Decisions of every subject about one thing. */
GLOBAL husk_ask(struct asked *asked)
{
    if (!asked)
        return 0;
    husk_u32 slot = asked->slot;
    void *decisions = bpf_map_lookup_elem(&decisions_slots, &slot);
    husk_u64 subjects = asked->subjects;
    if (!decisions || !subjects)
        return 0;
    /* Most tasks are of one. */
    ask_subject(asked, decisions, lowest_bit(subjects));
    subjects &= subjects - 1;
    if (!subjects)
        return 0;
    struct subject_round round = {.asked = asked, .decisions = decisions, .subjects = subjects};
    repeat(HUSK_SUBJECTS_MAX - 1, ask_next_subject, &round);
    return 0;
}

static __always_inline void ask(struct asked *asked, husk_u16 kind, husk_u64 value)
{
    asked->kind = kind;
    asked->value = value;
    husk_ask(asked);
}

/* The path and every folder above it. */
GLOBAL husk_ask_path(struct asked *asked, const struct husk_task *task)
{
    const struct husk_path_key *key = the_path_key();
    if (!asked || !task || !key)
        return 0;
    husk_u64 base = path_base(key), power = 1, whole = asked->place.whole;
    husk_u32 depth = asked->place.depth, device = asked->place.device;

    ask(asked, HUSK_OBJECT_PATH, path_value(whole, device, key));
#pragma clang loop unroll(disable)
    for (husk_u32 above = 0; above <= HUSK_PATH_DEPTH_MAX; above++) {
        if (above > depth)
            break;
        /* The folder of `above` names: the whole less the rest behind it. */
        husk_u64 rest =
            task->rest[(depth - above - 1) & (HUSK_PATH_DEPTH_MAX - 1)] * top_bit((husk_u64)above - depth);
        ask(asked, HUSK_OBJECT_UNDER, path_value(whole - power * rest, device, key));
        power *= base;
    }
    return 0;
}

/* All but the path. */
GLOBAL husk_ask_rest(struct asked *asked)
{
    if (!asked)
        return 0;
    husk_u8 traits = asked->traits;
#pragma clang loop unroll(disable)
    for (husk_u32 trait = 1; trait < 8; trait++) {
        if (traits & (1 << trait))
            ask(asked, HUSK_OBJECT_TRAIT, trait);
    }
    if (asked->number)
        ask(asked, HUSK_OBJECT_NUMBER, asked->number);
    if (asked->applet)
        ask(asked, HUSK_OBJECT_APPLET, asked->applet);
    ask(asked, HUSK_OBJECT_ANY, 0);
    if (husk_standing_denial(asked) == HUSK_RULE_NONE && asked->allowed == HUSK_RULE_NONE)
        ask(asked, HUSK_OBJECT_DEFAULT, 0);
    return 0;
}

/* `mode`: HUSK_MODE_, and flags of the operation << 8. */
static __always_inline int report_operation(const struct judge *judge, const struct operation *operation,
                                            husk_u32 rule, husk_u32 verdict, husk_u32 mode)
{
    struct husk_task *task = judge->task;
    struct finding finding = {.serial = judge->serial,
                              .rule = rule,
                              .hook = operation->hook,
                              .verdict = verdict,
                              .mode = mode,
                              .reason = rule == HUSK_RULE_NONE ? HUSK_REASON_DEFAULT : HUSK_REASON_RULE};
    if (!task) {
        count_total(HUSK_TOTAL_CALL_EVENTS_LOST);
        return 0;
    }
    struct husk_alike *alike = task_alike(task);
    __builtin_memset(alike, 0, sizeof(*alike));
    alike->value = operation->number ? operation->number : operation->applet;
    alike->operation = operation->operation;
    alike->traits = operation->traits;
    alike->flags = mode >> 8;
    tell_operation(&finding, alike, task_repeats(task), operation->dentry, task);
    return 0;
}

/* What is told of an execve is the name that it is started by, too. */
static __always_inline void name_operation(const struct judge *judge, struct operation *operation)
{
    if (operation->typed && judge->task)
        operation->applet = husk_typed_name(judge->task, operation->typed);
}

struct program_round {
    const struct husk_task *task;
    void *programs;
    husk_u64 subjects; /* found so far */
};

static long find_next_program(husk_u32 at, void *context)
{
    struct program_round *round = context;
    if (at >= round->task->programs)
        return REPEAT_END;
    struct husk_program program = round->task->lineage[at & (HUSK_LINEAGE_MAX - 1)];
    const struct husk_program_subjects *found = bpf_map_lookup_elem(round->programs, &program);
    if (found)
        round->subjects |= found->lineage | (at ? 0 : found->own);
    program.applet = 0;
    found = bpf_map_lookup_elem(round->programs, &program);
    if (found)
        round->subjects |= found->lineage | (at ? 0 : found->own);
    return REPEAT_ON;
}

/* Subjects that a task's programs make it, by the tables of the slot. */
__attribute__((noinline)) husk_u64 husk_program_subjects(const struct husk_task *task, husk_u32 slot)
{
    void *programs = bpf_map_lookup_elem(&programs_slots, &slot);
    if (!task || !programs)
        return 0;
    struct program_round round = {.task = task, .programs = programs};
    repeat(HUSK_LINEAGE_MAX, find_next_program, &round);
    return round.subjects;
}

/* Who the task acts as. */
static __always_inline husk_u32 effective_user(void)
{
    struct task_struct *current = bpf_get_current_task_btf();
    return current->cred->euid.val;
}

/* Subjects that the user may be one of. */
static __always_inline husk_u64 user_subjects(const struct husk_operations *all, husk_u32 slot, husk_u32 uid)
{
    void *users = bpf_map_lookup_elem(&users_slots, &slot);
    husk_u64 *found = users ? bpf_map_lookup_elem(users, &uid) : NULL;
    return all->any_user | (found ? *found : 0);
}

/* All subjects of the task, kept with it until generation or user change. */
GLOBAL husk_find_subjects(struct husk_task *task, husk_u32 slot, husk_u32 generation, husk_u32 uid)
{
    const struct husk_operations *all = table_wide(&operations_slots, slot);
    if (!task || !all)
        return 0;
    husk_u64 subjects = husk_program_subjects(task, slot) | all->any_program;
    if (task->flags & HUSK_TASK_LINEAGE_FULL)
        subjects |= all->unknown;
    subjects &= user_subjects(all, slot, uid);
    task->subjects = subjects;
    task->uid = uid;
    task->generation = generation;
    return 0;
}

static __always_inline husk_u64 task_subjects(struct husk_task *task, husk_u32 slot, husk_u32 generation)
{
    husk_u32 uid = effective_user();
    if (task->generation != generation || task->uid != uid)
        husk_find_subjects(task, slot, generation, uid);
    return task->subjects;
}

/* Subjects of the task's cgroup and of those above it; a task moves between them, so they are asked each
 * time. */
__attribute__((noinline)) husk_u64 husk_cgroup_subjects(husk_u32 slot)
{
    void *subjects = bpf_map_lookup_elem(&subjects_slots, &slot);
    return subjects ? find_subjects(subjects, bpf_get_current_cgroup_id()) : 0;
}

/* A task of which nothing is known comes from what subjects say of that; its user is known all the same. */
static __always_inline husk_u64 subjects_of_task(struct judge *judge, const struct husk_operations *all,
                                                 husk_u32 generation)
{
    if (!judge->task)
        return (all->any_program | all->unknown) & user_subjects(all, judge->slot, effective_user());
    return task_subjects(judge->task, judge->slot, generation);
}

static __always_inline void record_operation(const struct asked *asked, husk_u32 denial)
{
    struct husk_tried *record = map_only_entry(&tried);
    if (!record)
        return;
    struct husk_tried result = {
        .verdict = denial == HUSK_RULE_NONE ? HUSK_VERDICT_ALLOW : HUSK_VERDICT_DENY,
        .reason = HUSK_REASON_RULE,
        .rule = denial == HUSK_RULE_NONE ? asked->allowed : denial,
        .monitored = husk_standing_would_deny(asked),
        .runs = record->runs + 1,
        .last_noted = HUSK_RULE_NONE,
    };
    *record = result;
}

/* Whether the executable is one of many applets, in this slot's eyes, and which it is started as: its number,
 * or 0 for a name that is none of its own. */
static __always_inline bool find_applet(husk_u32 slot, husk_u64 executable, husk_u64 name, husk_u64 *applet)
{
    void *applets = bpf_map_lookup_elem(&applets_slots, &slot);
    struct husk_program program = {.path = executable};
    if (!applets || !bpf_map_lookup_elem(applets, &program))
        return false;
    program.applet = name;
    *applet = name && bpf_map_lookup_elem(applets, &program) ? name : 0;
    return true;
}

static __always_inline void ask_applet(struct asked *asked, const struct husk_task *task)
{
    const struct husk_path_key *key = the_path_key();
    husk_u64 applet = 0;
    asked->traits &= ~(1 << HUSK_TRAIT_UNLISTED_APPLET);
    asked->applet = 0;
    if (!key || !find_applet(asked->slot, path_value(asked->place.whole, asked->place.device, key),
                             task->typed_number, &applet))
        return;
    asked->applet = applet;
    if (!applet)
        asked->traits |= 1 << HUSK_TRAIT_UNLISTED_APPLET;
}

/* What the label names, in place of what the canary does its operation to. */
GLOBAL husk_ask_canary(struct asked *asked, struct husk_task *task)
{
    const struct husk_canary_object *object = map_only_entry(&canary_object);
    if (!asked || !task || !object)
        return 0;
    asked->number = object->number;
    asked->applet = object->applet;
    asked->traits = object->traits;
    asked->has_path = object->has_path;
    if (object->has_path) {
        asked->place.whole = object->whole;
        asked->place.depth = object->depth;
        asked->place.device = object->device;
        __builtin_memcpy(task->rest, object->rest, sizeof(object->rest));
    }
    return 0;
}

/* Where the object is, and by which name it is run. */
static __always_inline void find_object(const struct judge *judge, struct asked *asked,
                                        const struct operation *operation)
{
    const struct husk_path_key *key = the_path_key();
    judge->task->dentry = (husk_u64)operation->dentry;
    judge->task->typed = 0;
    judge->task->typed_number = 0;
    if (!operation->dentry || !key)
        return;
    resolve(operation->dentry, judge->task, key, &asked->place);
    if (asked->place.is_unresolved) {
        asked->traits |= 1 << HUSK_TRAIT_UNRESOLVED;
        return;
    }
    asked->has_path = 1;
    if (operation->typed) {
        judge->task->typed = (husk_u64)operation->typed;
        judge->task->typed_number = husk_typed_name(judge->task, operation->typed);
    }
}

/* The canary is asked from here as well: frames below one more would have no room. */
static __always_inline void ask_all(const struct judge *judge, struct asked *asked, bool with_path)
{
    if (judge->is_canary) {
        if (!judge->task)
            return;
        husk_ask_canary(asked, judge->task);
    }
    if ((with_path || judge->is_canary) && asked->has_path && judge->task) {
        husk_ask_path(asked, judge->task);
        if (judge->task->typed && !judge->is_canary)
            ask_applet(asked, judge->task);
    }
    husk_ask_rest(asked);
}

#include "shadow.h"

/* Whose operation it is, and by which tables it is judged. NULL: it is not, and `*answer` says what then. */
static __always_inline const struct husk_operations *open_judge(struct judge *judge, husk_u32 operation,
                                                                int *answer)
{
    struct husk_control *shared = map_only_entry(&control);
    const struct husk_try *label = map_only_entry(&try_label);
    struct task_struct *current = bpf_get_current_task_btf();
    *answer = 0;
    if (!shared || !label || (current->flags & PF_KTHREAD) || current->tgid == 1)
        return NULL;
    judge->is_canary = label->canary_cgroup && label->canary_cgroup == bpf_get_current_cgroup_id();
    if (judge->is_canary && label->canary_operation != operation)
        return NULL;
    if (judge->is_canary)
        *answer = -ECANCELED;
    judge->is_trial = READ_ONCE(shared->live) & HUSK_LIVE_TRIAL;
    judge->slot = judge->is_canary ? label->slot : live_slot(shared);
    const struct husk_generation *generation = table_wide(&generation_slots, judge->slot);
    if (!generation || !the_path_key()) {
        if (!judge->is_canary)
            count_total(HUSK_TOTAL_NO_GENERATION);
        return NULL;
    }
    judge->task = bpf_task_storage_get(&tasks, current, 0, 0);
    judge->is_shadowed = !judge->is_canary && !judge->is_trial && READ_ONCE(shared->shadow);
    /* A generation that says nothing of tasks has no such table. */
    const struct husk_operations *all = table_wide(&operations_slots, judge->slot);
    if (!all)
        return NULL;
    judge->serial = generation->serial;
    if (judge->is_canary) {
        judge->subjects = label->canary_subjects;
        return all;
    }
    judge->subjects = subjects_of_task(judge, all, generation->id);
    if (judge->subjects & ~all->any_cgroup)
        judge->subjects &= all->any_cgroup | husk_cgroup_subjects(judge->slot);
    return all;
}

/* The live policy's verdict: 0, or the errno to refuse with, negative. */
static __always_inline int decide_operation(const struct judge *judge, struct asked *asked,
                                            struct operation *operation)
{
    husk_u32 denial = husk_standing_denial(asked);
    if (judge->is_canary) {
        record_operation(asked, denial);
        return denial == HUSK_RULE_NONE ? -ECANCELED : -EPERM;
    }
    count_total(HUSK_TOTAL_CALLS);
    husk_u32 would_deny = husk_standing_would_deny(asked);
    name_operation(judge, operation);
    if (would_deny != HUSK_RULE_NONE) {
        count_rule(would_deny, 0);
        report_operation(judge, operation, would_deny, HUSK_VERDICT_DENY, HUSK_MODE_MONITOR);
    }
    if (denial == HUSK_RULE_NONE) {
        count_rule(asked->allowed, 0);
        if (judge->is_observed && would_deny == HUSK_RULE_NONE)
            report_operation(judge, operation, asked->allowed, HUSK_VERDICT_ALLOW, HUSK_MODE_ENFORCE);
        return 0;
    }
    count_rule(denial, 0);
    bool kills = operation->too_late || (husk_standing_kills(asked) && !judge->is_trial);
    if (kills)
        bpf_send_signal(SIGKILL);
    report_operation(judge, operation, denial, HUSK_VERDICT_DENY,
                     HUSK_MODE_ENFORCE | (kills ? HUSK_OPERATION_KILLED << 8 : 0));
    return -EPERM;
}

/* 0, or the errno to refuse with, negative. */
static __always_inline int judge_operation(struct operation *operation)
{
    struct judge judge = {};
    int answer;
    const struct husk_operations *all = open_judge(&judge, operation->operation, &answer);
    if (operation->operation >= HUSK_OPERATION_COUNT || !(all || judge.is_shadowed))
        return answer;
    husk_u64 with_paths = all ? all->with_paths[operation->operation] & judge.subjects : 0;
    husk_u64 learning = all ? all->learning[operation->operation] & judge.subjects : 0;
    judge.is_observed = all && !judge.is_canary && (all->observed[operation->operation] & judge.subjects);
    judge.subjects &= all ? all->subjects[operation->operation] : 0;
    if (!judge.subjects && judge.is_observed) {
        name_operation(&judge, operation);
        report_operation(&judge, operation, HUSK_RULE_NONE, HUSK_VERDICT_ALLOW, HUSK_MODE_ENFORCE);
        /* It was none: the name typed is told as one. */
        if (operation->typed)
            operation->applet = 0;
    }
    /* What is too late to refuse was seen when it was asked for; where no hook asks, it is not kept. */
    bool is_watched = judge.task && !operation->too_late && (learning || judge.is_shadowed);
    if (!judge.subjects && !is_watched)
        return answer;

    struct asked asked = {
        .slot = judge.slot,
        .subjects = judge.subjects,
        .operation = operation->operation,
        .number = operation->number,
        .applet = operation->applet,
        .traits = operation->traits,
        .would_allow = HUSK_RULE_NONE,
        .allowed = HUSK_RULE_NONE,
    };
    if (judge.task && !judge.is_canary && (with_paths || is_watched))
        find_object(&judge, &asked, operation);
    if (is_watched && learning)
        husk_learn(&asked, judge.task, learning);
    if (judge.subjects) {
        ask_all(&judge, &asked, with_paths != 0);
        answer = decide_operation(&judge, &asked, operation);
    }
    if (is_watched && judge.is_shadowed)
        judge_in_shadow(&asked, judge.task);
    return answer;
}

#endif
