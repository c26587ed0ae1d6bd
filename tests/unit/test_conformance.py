"""Which test tries which assertion of the standards.

``WPS20``: the abstract tests of Annex A of OGC 14-065, by their identifiers without ``conf/``.
``PROCESSES``: those of Annex A of OGC 18-062r2, likewise. ``SUITES``: what the OGC's own suites
send and assert besides. The tests are in ``tests/service``; here it is seen that each is there.
"""

from __future__ import annotations

import ast
import functools
import re

import pytest

from places import ROOT
from pywps_hpc.web.ogcapi import landing

FOLDER = ROOT / "tests" / "service"
WPS2, API = "test_wps2", "test_ogcapi"
FUZZED = (
    "test_api_definition",
    "no_request_that_is_made_from_the_definition_finds_a_fault",
)

WPS20: dict[str, tuple[str, str]] = {
    "service/profile/basic-wps": (
        WPS2, "capabilities_tell_of_each_operation_and_of_the_modes_of_each_process"),
    "service/synchronous-wps": (
        WPS2, "capabilities_tell_of_each_operation_and_of_the_modes_of_each_process"),
    "service/asynchronous-wps": (
        WPS2, "capabilities_tell_of_each_operation_and_of_the_modes_of_each_process"),
    "process-model-encoding/xml-encoding/process": (
        WPS2, "a_description_tells_what_the_process_says_of_itself"),
    "process-model-encoding/xml-encoding/datatypes": (
        WPS2, "describe_process_tells_of_data_of_each_kind"),
    "common-wps/handling/service": (
        WPS2, "each_request_for_another_service_or_version_is_refused"),
    "common-wps/handling/version": (
        WPS2, "each_request_for_another_service_or_version_is_refused"),
    "common-wps/data-transmission/input-by-value": (
        WPS2, "a_literal_value_comes_back_in_a_document"),
    "common-wps/input-by-reference": (WPS2, "a_literal_value_is_taken_by_reference"),
    "common-wps/data-transmission/output-by-value": (
        WPS2, "each_output_keeps_its_bytes_and_is_told_in_the_encoding_that_is_asked_for"),
    "common-wps/data-transmission/output-by-reference": (WPS2, "outputs_are_given_by_reference"),
    "common-wps/identifier": (WPS2, "describe_process_all_tells_of_each_process_once"),
    "common-wps/job/identifier": (WPS2, "each_job_has_an_id_of_its_own"),
    "service/binding/post-xml/get-capabilities/request-response": (
        WPS2, "a_capabilities_document_is_answered_in_the_version_of_its_namespace"),
    "service/binding/post-xml/describe-process/request-response": (
        WPS2, "describe_process_is_answered_to_a_document"),
    "service/binding/post-xml/execute-sync/request-response": (
        WPS2, "each_way_of_executing_is_answered_with_exactly_200"),
    "service/binding/post-xml/execute-async/request-response": (
        WPS2, "each_job_has_an_id_of_its_own"),
    "service/binding/post-xml/execute-auto/request-response": (
        WPS2, "each_way_of_executing_is_answered_with_exactly_200"),
    "service/binding/post-xml/get-status/request-response": (
        WPS2, "status_and_result_are_told_to_documents_and_to_queries_in_any_case"),
    "service/binding/post-xml/get-result/request-response": (
        WPS2, "a_result_that_is_asked_for_at_once_is_waited_for"),
    "service/binding/get-kvp/get-capabilities/request-response": (
        WPS2, "capabilities_are_given_in_the_version_that_is_preferred"),
    "service/binding/get-kvp/describe-process/request-response": (
        WPS2, "names_of_parameters_are_read_in_any_case"),
    "service/binding/get-kvp/get-status/request-response": (
        WPS2, "status_and_result_are_told_to_documents_and_to_queries_in_any_case"),
    "service/binding/get-kvp/get-result/request-response": (
        WPS2, "status_and_result_are_told_to_documents_and_to_queries_in_any_case"),
    "service/binding/post-xml/dismiss/request-response": (
        WPS2, "a_dismissal_is_taken_from_documents_and_from_queries_in_any_case"),
    "service/binding/get-kvp/dismiss/request-response": (
        WPS2, "a_dismissal_is_taken_from_documents_and_from_queries_in_any_case"),
}  # fmt: skip

PROCESSES: dict[str, tuple[str, str]] = {
    "core/http": (API, "curl_executes_a_process"),
    "core/landingpage-op": (API, "the_landing_page_leads_to_all_else"),
    "core/landingpage-success": (API, "the_landing_page_leads_to_all_else"),
    "core/api-definition-op": (API, "the_landing_page_leads_to_all_else"),
    "core/api-definition-success": FUZZED,
    "core/conformance-op": (API, "the_landing_page_leads_to_all_else"),
    "core/conformance-success": (API, "conformance_tells_each_class_that_is_met"),
    "core/process-list": (API, "the_list_of_processes_has_pages"),
    "core/process-list-success": (API, "the_list_of_processes_has_pages"),
    "core/pl-limit-definition": FUZZED,
    "core/pl-limit-response": (API, "the_list_of_processes_has_pages"),
    "core/pl-links": (API, "lists_lead_to_themselves_and_to_their_other_form"),
    "core/process": (API, "a_description_has_a_schema_for_each_input_and_output"),
    "core/process-success": (API, "a_description_has_a_schema_for_each_input_and_output"),
    "core/process-exception-no-such-process": (API, "what_is_not_there_is_told_by_a_problem"),
    "core/job-creation-op": (API, "without_outputs_all_are_given_raw"),
    "core/job-creation-request": (
        API, "the_definition_allows_what_is_accepted_and_nothing_else"),
    "core/job-creation-auto-execution-mode": (
        API, "a_client_that_prefers_it_is_told_where_its_job_is"),
    "core/job-creation-default-execution-mode": (
        API, "a_process_with_one_mode_is_executed_in_that_one"),
    "core/job-creation-inputs": (API, "an_input_by_reference_is_fetched"),
    "core/job-creation-input-inline": (API, "a_document_has_every_kind_of_value"),
    "core/job-creation-input-ref": (API, "an_input_by_reference_is_fetched"),
    "core/job-creation-input-inline-object": (API, "a_document_has_every_kind_of_value"),
    "core/job-creation-input-inline-mixed": (API, "values_of_other_clients_are_understood"),
    "core/job-creation-input-inline-binary": (API, "a_document_has_every_kind_of_value"),
    "core/job-creation-input-inline-bbox": (
        API, "a_box_has_the_order_of_axes_of_its_reference_system"),
    "core/job-creation-input-array": (API, "a_document_has_every_kind_of_value"),
    "core/job-creation-input-validation": (API, "what_is_not_understood_is_refused"),
    "core/job-creation-default-outputs": (API, "without_outputs_all_are_given_raw"),
    "core/job-creation-sync-raw-value-one": (API, "one_raw_output_is_the_body"),
    "core/job-creation-sync-raw-value-multi": (API, "without_outputs_all_are_given_raw"),
    "core/job-creation-sync-raw-ref": (API, "a_raw_output_by_reference_is_a_link"),
    "core/job-creation-sync-raw-mixed-multi": (API, "several_raw_outputs_are_one_message"),
    "core/job-creation-sync-document": (API, "a_document_has_every_kind_of_value"),
    "core/job-creation-success-async": (
        API, "a_client_that_prefers_it_is_told_where_its_job_is"),
    "core/job-op": (API, "a_client_that_prefers_it_is_told_where_its_job_is"),
    "core/job-success": (API, "a_client_that_prefers_it_is_told_where_its_job_is"),
    "core/job-exception-no-such-job": (API, "what_is_not_there_is_told_by_a_problem"),
    "core/job-results": (API, "a_client_that_prefers_it_is_told_where_its_job_is"),
    "core/job-results-sync": (API, "results_after_the_answer_are_those_of_the_answer"),
    "core/job-results-async-raw-value-one": (
        API, "a_client_that_prefers_it_is_told_where_its_job_is"),
    "core/job-results-async-raw-value-multi": (API, "raw_results_of_a_job_have_each_form"),
    "core/job-results-async-raw-ref": (API, "raw_results_of_a_job_have_each_form"),
    "core/job-results-async-raw-mixed-multi": (API, "raw_results_of_a_job_have_each_form"),
    "core/job-results-async-document": (
        API, "results_are_given_in_the_form_that_was_asked_for"),
    "core/job-results-exception-no-such-job": (API, "what_is_not_there_is_told_by_a_problem"),
    "core/job-results-exception-results-not-ready": (
        API, "results_that_are_not_there_yet_are_told_so"),
    "core/job-results-failed": (API, "a_failure_is_told_by_its_cause"),
    "ogc-process-description/json-encoding": (
        API, "a_description_has_a_schema_for_each_input_and_output"),
    "ogc-process-description/inputs-def": (
        API, "a_description_has_a_schema_for_each_input_and_output"),
    "ogc-process-description/input-def": (
        API, "a_description_has_a_schema_for_each_input_and_output"),
    "ogc-process-description/input-mixed-type": (
        API, "a_description_has_a_schema_for_each_input_and_output"),
    "ogc-process-description/outputs-def": (
        API, "a_description_has_a_schema_for_each_input_and_output"),
    "ogc-process-description/output-def": (
        API, "a_description_has_a_schema_for_each_input_and_output"),
    "ogc-process-description/output-mixed-type": (
        API, "a_description_has_a_schema_for_each_input_and_output"),
    "json/definition": (API, "every_answer_is_there_to_be_read_with_all_its_links"),
    "html/definition": (API, "every_answer_is_there_to_be_read_with_all_its_links"),
    "html/content": (API, "every_answer_is_there_to_be_read_with_all_its_links"),
    "oas30/oas-definition-1": (API, "every_answer_is_there_to_be_read_with_all_its_links"),
    "oas30/oas-definition-2": FUZZED,
    "oas30/oas-impl": FUZZED,
    "oas30/completeness": FUZZED,
    "oas30/exceptions-codes": FUZZED,
    "job-list/job-list-op": (API, "the_list_of_jobs_has_filters_and_pages"),
    "job-list/job-list-success": (API, "the_list_of_jobs_has_filters_and_pages"),
    "job-list/links": (API, "lists_lead_to_themselves_and_to_their_other_form"),
    "job-list/limit-definition": FUZZED,
    "job-list/limit-response": (API, "the_list_of_jobs_has_filters_and_pages"),
    "job-list/type-definition": FUZZED,
    "job-list/type-response": (API, "the_list_of_jobs_has_filters_and_pages"),
    "job-list/processID-definition": FUZZED,
    "job-list/processID-mandatory": (API, "the_list_of_jobs_has_filters_and_pages"),
    "job-list/processID-response": (API, "the_list_of_jobs_has_filters_and_pages"),
    "job-list/status-definition": FUZZED,
    "job-list/status-response": (API, "the_list_of_jobs_has_filters_and_pages"),
    "job-list/datetime-definition": FUZZED,
    "job-list/datetime-response": (API, "the_list_of_jobs_has_filters_and_pages"),
    "job-list/duration-definition": FUZZED,
    "job-list/duration-response": (API, "the_list_of_jobs_has_filters_and_pages"),
    "callback/job-callback": (
        "test_callbacks", "a_subscriber_is_told_of_progress_and_results"),
    "dismiss/job-dismiss-op": (API, "results_that_are_not_there_yet_are_told_so"),
    "dismiss/job-dismiss-success": (API, "results_that_are_not_there_yet_are_told_so"),
    "dismiss/job-dismiss-status": (API, "a_dismissed_job_can_be_removed"),
}  # fmt: skip

SUITES: dict[str, tuple[str, str]] = {
    "WPS 2.0: names of parameters in any case": (
        WPS2, "names_of_parameters_are_read_in_any_case"),
    "WPS 2.0: raw data is the value, complex data XML": (
        WPS2, "a_document_comes_back_as_an_element"),
    "WPS 2.0: a result is there when it is asked for at once": (
        WPS2, "a_result_that_is_asked_for_at_once_is_waited_for"),
    "WPS 2.0: Succeeded at the first GetStatus": (
        WPS2, "the_first_status_of_a_short_job_tells_its_end"),
    "WPS 2.0: a mistyped namespace of the schema location": (
        WPS2, "a_mistyped_namespace_of_the_schema_location_is_no_fault"),
    "WPS 2.0: another service or version of GetCapabilities": (
        WPS2, "another_service_or_version_is_refused"),
    "WPS 1.0.0: answered where no version is named": (
        WPS2, "without_a_word_about_it_the_version_is_the_first"),
    "WPS 1.0.0: documents of a job": (
        "test_documents_valid", "documents_of_a_job_are_valid_with_all_its_lineage"),
    "WPS 1.0.0: the versions in Capabilities": (
        "test_documents_valid", "capabilities_list_the_version_that_is_served"),
    "WPS 1.0.0: keywords of a process": ("test_documents_valid", "descriptions_are_valid"),
    "Processes: a wrong media type, as application/json": (
        API, "what_is_not_understood_is_refused"),
    "Processes: Prefer with a trailing blank": (
        API, "a_client_that_prefers_it_is_told_where_its_job_is"),
    "Processes: no header Link on synchronous answers": (API, "one_raw_output_is_the_body"),
    "Processes: several outputs as multipart/related": (
        API, "several_raw_outputs_are_one_message"),
    "Processes: odd numbers and reference systems of boxes": (
        API, "a_box_has_the_order_of_axes_of_its_reference_system"),
}  # fmt: skip


@functools.cache
def named_in(module: str) -> frozenset[str]:
    """The tests of a module that assert something."""
    tree = ast.parse((FOLDER / f"{module}.py").read_text(encoding="utf-8"))
    return frozenset(
        one.name
        for one in tree.body
        if isinstance(one, ast.FunctionDef) and one.name.startswith("test_")
    )


@pytest.mark.parametrize("table", [WPS20, PROCESSES, SUITES], ids=["wps20", "processes", "suites"])
def test_each_assertion_has_a_test(table: dict[str, tuple[str, str]]) -> None:
    missing = [
        name for name, (module, test) in table.items() if f"test_{test}" not in named_in(module)
    ]
    assert missing == []


def test_each_class_that_is_claimed_has_its_assertions_here() -> None:
    claimed = {found[1] for uri in landing.CONFORMS if (found := re.search("/1.0/conf/(.+)$", uri))}
    assert claimed <= {name.partition("/")[0] for name in PROCESSES}
