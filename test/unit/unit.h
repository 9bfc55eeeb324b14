/* SPDX-License-Identifier: BSD-3-Clause */
/* unit.h - the main of a CUnit test program. Its closing line is what
 * test/check.sh adds up. */
#ifndef TEST_UNIT_UNIT_H
#define TEST_UNIT_UNIT_H

#include <CUnit/Basic.h>
#include <CUnit/CUnit.h>
#include <stdio.h>

struct unit_test {
    const char *name;
    void (*run)(void);
};

static inline int unit_main(const char *suite_name,
                            const struct unit_test *tests, size_t count)
{
    if (CU_initialize_registry() != CUE_SUCCESS)
        return 2;
    CU_pSuite suite = CU_add_suite(suite_name, NULL, NULL);
    for (size_t i = 0; i < count; i++)
        if (CU_add_test(suite, tests[i].name, tests[i].run) == NULL)
            return 2;
    /* Who reads this through a pipe sees what fails as soon as it does. */
    setvbuf(stdout, NULL, _IOLBF, 0);
    CU_basic_set_mode(CU_BRM_VERBOSE);
    CU_basic_run_tests();
    unsigned failed = CU_get_number_of_tests_failed();
    unsigned run = CU_get_number_of_tests_run();
    CU_cleanup_registry();
    printf("\n%u passed, %u failed, 0 skipped\n", run - failed, failed);
    return failed == 0 ? 0 : 1;
}

#define UNIT_MAIN(suite_name, tests)                                           \
    int main(void)                                                             \
    {                                                                          \
        return unit_main(suite_name, tests, sizeof(tests) / sizeof *(tests));  \
    }

#endif
