"""Reads. Every function takes the session first and returns frozen rows (`db.rows`)."""

from __future__ import annotations

from typing import TYPE_CHECKING

from db.exports import load_on_use

if TYPE_CHECKING:
    from db.queries.corpus import (
        CorpusState,
        active_by_role,
        corpus_ids,
        corpus_state,
        document_texts,
        document_titles,
        documents_of,
        first_passages,
        get_meta,
        has_pool_to_predict,
        iter_passages,
        known_passages,
        passage_identities,
        passages,
        pool_to_predict,
        question,
        questions,
    )
    from db.queries.dataset import answer_lengths, duplicate_questions, question_texts, sample_by_hash
    from db.queries.imported import find_import, imports
    from db.queries.journal import counts, events, history
    from db.queries.label import (
        certified_labels,
        labelled_questions,
        labels,
        live_labels,
        rounds_of_live_pseudo,
        written_counts,
    )
    from db.queries.labeller_answers import (
        answered,
        find_labeller,
        labeller,
        labeller_by_id,
        labeller_cost,
        labeller_counts,
        labeller_predictions,
        labeller_sha256,
        labellers,
        replies,
    )
    from db.queries.prediction import (
        iter_predictions,
        newest_confidences,
        predicted_ids,
        predicted_rounds,
        predictions,
    )
    from db.queries.review import (
        has_reviews,
        outdated_reviews,
        reviews,
        reviews_by_id,
        reviews_of,
        tasks,
        tasks_by_id,
        tasks_of_questions,
        unrecorded_reviews,
    )
    from db.queries.round import (
        begun,
        best_model,
        calibrator,
        current_round,
        evaluation,
        evaluations,
        last_round,
        model,
        model_of_round,
        models,
        next_round_number,
        retriever_of_round,
        retrievers,
        round_,
        round_chunks,
        rounds,
        sampled_questions,
    )
    from db.queries.search import passage_by_prefix, questions_of_passage, search_labels, search_questions
    from db.queries.splits import (
        document_sides,
        held_out_passages,
        human_answers,
        inactive_passages,
        known_roles,
        passage_sides,
        question_sides,
        questions_met,
    )
    from db.queries.studio import (
        annotation_count,
        conflicts,
        has_unsent_tasks,
        outdated_suggestions,
        project,
        projects,
        push,
        push_ids,
        pushes,
        repeated_studio_tasks,
        servers_of_open_tasks,
        studio_tasks,
        studio_tasks_of,
        unfinished_pushes,
        unsent_tasks,
        withdrawn_studio_tasks,
    )
    from db.queries.training import (
        exportable_labels,
        fairly_labelled,
        taught_split_groups,
        training_counts,
        training_labels,
        training_rows,
        training_sha256,
        usable_labels,
    )
else:
    __getattr__ = load_on_use(
        __name__,
        {
            "corpus": (
                "CorpusState active_by_role corpus_ids corpus_state document_texts document_titles documents_of "
                "first_passages get_meta has_pool_to_predict iter_passages known_passages "
                "passage_identities passages pool_to_predict question questions"
            ),
            "dataset": "answer_lengths duplicate_questions question_texts sample_by_hash",
            "imported": "find_import imports",
            "journal": "counts events history",
            "label": "certified_labels labelled_questions labels live_labels rounds_of_live_pseudo written_counts",
            "labeller_answers": (
                "answered find_labeller labeller labeller_by_id labeller_cost labeller_counts labeller_predictions "
                "labeller_sha256 labellers replies"
            ),
            "prediction": "iter_predictions newest_confidences predicted_ids predicted_rounds predictions",
            "review": (
                "has_reviews outdated_reviews reviews reviews_by_id reviews_of tasks tasks_by_id tasks_of_questions "
                "unrecorded_reviews"
            ),
            "round": (
                "begun best_model calibrator current_round evaluation evaluations last_round model model_of_round "
                "models next_round_number retriever_of_round retrievers round_ round_chunks rounds sampled_questions"
            ),
            "search": "passage_by_prefix questions_of_passage search_labels search_questions",
            "splits": (
                "document_sides held_out_passages human_answers inactive_passages known_roles passage_sides "
                "question_sides questions_met"
            ),
            "studio": (
                "annotation_count conflicts has_unsent_tasks outdated_suggestions project projects push push_ids "
                "pushes repeated_studio_tasks servers_of_open_tasks studio_tasks studio_tasks_of unfinished_pushes "
                "unsent_tasks withdrawn_studio_tasks"
            ),
            "training": (
                "exportable_labels fairly_labelled taught_split_groups training_counts training_labels training_rows "
                "training_sha256 usable_labels"
            ),
        },
    )
